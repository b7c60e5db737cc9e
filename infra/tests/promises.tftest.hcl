# What is refused before anything is planned.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}
mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id  = "test-project"
  environment = "paper"
  alert_email = "you@example.com"
  release     = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "live_without_the_sentence" {
  command = plan
  plan_options {
    target = [terraform_data.promises]
  }
  variables {
    environment = "live"
  }
  expect_failures = [terraform_data.promises]
}

run "live_with_another_projects_sentence" {
  command = plan
  plan_options {
    target = [terraform_data.promises]
  }
  variables {
    environment = "live"
    real_money  = "I trade real money in other-project"
  }
  expect_failures = [terraform_data.promises]
}

run "live_with_the_sentence" {
  command = plan
  plan_options {
    target = [terraform_data.promises]
  }
  variables {
    environment = "live"
    real_money  = "I trade real money in test-project"
  }
}

run "paper_with_the_sentence" {
  command = plan
  plan_options {
    target = [terraform_data.promises]
  }
  variables {
    real_money = "I trade real money in test-project"
  }
  expect_failures = [terraform_data.promises]
}

# Real money by a settings file, while everything else says paper.
run "paper_with_live_settings" {
  command = plan
  plan_options {
    target = [terraform_data.promises]
  }
  variables {
    config = "config/live.toml"
  }
  expect_failures = [terraform_data.promises]
}

run "settings_that_are_not_there" {
  command = plan
  plan_options {
    target = [terraform_data.promises]
  }
  variables {
    config = "config/none.toml"
  }
  expect_failures = [terraform_data.promises]
}

# Whatever is planned alone, the promises are asked first.
run "also_for_one_function" {
  command = plan
  plan_options {
    target = [google_cloudfunctions2_function.this["tick"]]
  }
  variables {
    environment = "live"
  }
  expect_failures = [terraform_data.promises]
}

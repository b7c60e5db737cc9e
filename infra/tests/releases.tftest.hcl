# What is deployed anew, and when: a release is named by its contents.

mock_provider "google" {
  source = "./tests/mocks"
}
mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id  = "test-project"
  environment = "paper"
  alert_email = "you@example.com"
}

# A deployment, and then a later commit: first without a change of code, then with one.

run "the_first_commit" {
  override_module {
    target = module.source
    outputs = {
      release  = "1111111111111111111111111111111111111111111111111111111111111111"
      files    = ["config/paper.toml"]
      archives = { serve = "serve.zip", train = "train.zip" }
    }
  }
  plan_options {
    target = [google_cloudfunctions2_function.this["status"]]
  }
  variables {
    code_version = "first"
  }
  assert {
    condition     = toset([for object in google_storage_bucket_object.source : object.name]) == toset(["${local.release}/serve.zip", "${local.release}/train.zip"])
    error_message = "Archives are in the bucket by their release."
  }
  assert {
    condition     = alltrue([for object in google_storage_bucket_object.source : object.deletion_policy == "ABANDON"])
    error_message = "An archive stays in the bucket when the next one comes: one can go back to it."
  }
}

run "a_commit_without_a_change_of_code" {
  command = plan
  override_module {
    target = module.source
    outputs = {
      release  = "1111111111111111111111111111111111111111111111111111111111111111"
      files    = ["config/paper.toml"]
      archives = { serve = "serve.zip", train = "train.zip" }
    }
  }
  plan_options {
    target = [google_cloudfunctions2_function.this["status"]]
  }
  variables {
    code_version = "second"
  }
  assert {
    condition     = google_cloudfunctions2_function.this["status"].service_config[0].environment_variables["HOURHAND__DEPLOYMENT__COMMIT"] == "first"
    error_message = "Nothing is deployed anew."
  }
}

run "a_commit_that_changes_code" {
  command = plan
  override_module {
    target = module.source
    outputs = {
      release  = "2222222222222222222222222222222222222222222222222222222222222222"
      files    = ["config/paper.toml"]
      archives = { serve = "serve.zip", train = "train.zip" }
    }
  }
  plan_options {
    target = [google_cloudfunctions2_function.this["status"]]
  }
  variables {
    code_version = "second"
  }
  assert {
    condition = (
      one(google_cloudfunctions2_function.this["status"].build_config[0].source[0].storage_source[*].object) == "${local.release}/serve.zip"
      && google_cloudfunctions2_function.this["status"].service_config[0].environment_variables["HOURHAND__DEPLOYMENT__COMMIT"] == "second"
    )
    error_message = "The new release is built and says where it is from."
  }
}

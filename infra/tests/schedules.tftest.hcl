# When what is called, by whom, and how often it is tried again.

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

run "paper" {
  command = plan

  assert {
    condition = { for name, job in google_cloud_scheduler_job.this : name => "${job.schedule}, ${job.time_zone}" } == {
      tick    = "0 * * * *, Etc/UTC"
      guard   = "* * * * *, Etc/UTC"
      train   = "0 18 * * 0, Asia/Tokyo"
      cleanup = "1st sunday of month 02:00, Asia/Tokyo"
      alert   = "*/5 * * * *, Etc/UTC"
    }
    error_message = "tick each hour, guard each minute, train on Sunday evening in Tokyo, cleanup on the month's first Sunday."
  }
  assert {
    condition = alltrue([for name, job in google_cloud_scheduler_job.this :
      job.http_target[0].uri == "https://${name}.invalid"
      && job.http_target[0].http_method == "POST"
      && job.http_target[0].oidc_token[0].audience == "https://${name}.invalid"
      && job.http_target[0].oidc_token[0].service_account_email == "scheduler@test-project.iam.gserviceaccount.com"
    ])
    error_message = "Each job calls its own function, by POST, with an identity made out to it."
  }
  assert {
    condition = alltrue([for name, job in google_cloud_scheduler_job.this :
      tonumber(trimsuffix(job.attempt_deadline, "s")) >= google_cloudfunctions2_function.this[name].service_config[0].timeout_seconds
      && tonumber(trimsuffix(job.attempt_deadline, "s")) <= 1800
    ])
    error_message = "The scheduler waits at least as long as the function may take, and 30 minutes at most."
  }
  assert {
    condition     = google_cloud_scheduler_job.this["guard"].retry_config[0].retry_count == 0
    error_message = "The guard's next minute is its retry."
  }
  # four retries: 4 x 130 s of trying, 25 + 50 + 100 + 200 s of waiting in between
  assert {
    condition     = google_cloud_scheduler_job.this["tick"].retry_config[0].retry_count == 4 && 4 * 130 + 375 < 900
    error_message = "A tick is tried again as long as it is in time for new risk: [tick] max_lateness_s, 900 on paper."
  }
  assert {
    condition     = google_cloud_scheduler_job.this["tick"].retry_config[0].min_backoff_duration == "25s"
    error_message = "The waits above follow from the first one."
  }
}

run "live_with_long_leases" {
  command = plan
  plan_options {
    target = [google_cloud_scheduler_job.this]
  }
  variables {
    environment = "live"
    real_money  = "I trade real money in test-project"
    lease_s     = 300
  }

  assert {
    condition     = google_cloud_scheduler_job.this["tick"].retry_config[0].retry_count == 1 && 310 + 25 < 600 && 2 * 310 + 75 > 600
    error_message = "Only as many retries as begin within 600 s, live's [tick] max_lateness_s."
  }
  assert {
    condition = alltrue([for name in ["tick", "guard"] :
      google_cloudfunctions2_function.this[name].service_config[0].timeout_seconds <= 300
      && google_cloud_scheduler_job.this[name].attempt_deadline == "310s"
    ])
    error_message = "Time-outs follow from the lease, and deadlines from the time-outs."
  }
}

# The functions themselves, and what they are built from.

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

run "paper" {
  assert {
    condition     = toset(keys(google_cloudfunctions2_function.this)) == toset(["tick", "guard", "train", "cleanup", "alert", "status"])
    error_message = "There are six functions."
  }
  assert {
    condition     = google_cloud_scheduler_job.this["tick"].http_target[0].uri == "https://tick.invalid"
    error_message = "x ${google_cloud_scheduler_job.this["tick"].http_target[0].uri}"
  }
}

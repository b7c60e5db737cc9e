# Buckets and images.

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
  plan_options {
    target = [google_storage_bucket.models, google_storage_bucket.history, google_storage_bucket.sources, google_artifact_registry_repository.this]
  }

  assert {
    condition = alltrue([for bucket in [google_storage_bucket.models, google_storage_bucket.history, google_storage_bucket.sources] :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && bucket.versioning[0].enabled
      && bucket.soft_delete_policy[0].retention_duration_seconds >= 604800 && bucket.location == "asia-northeast1"
    ])
    error_message = "Buckets are closed to the public, versioned, and what is deleted can be had back for a week."
  }
  assert {
    condition = alltrue(flatten([for bucket in [google_storage_bucket.models, google_storage_bucket.history, google_storage_bucket.sources] : [
      for rule in bucket.lifecycle_rule :
      one(rule.condition).with_state == "ARCHIVED" && one(rule.condition).days_since_noncurrent_time >= 30
      if one(rule.action).type != "AbortIncompleteMultipartUpload"
    ]]))
    error_message = "Lifecycle rules delete what was replaced or removed a month ago, never what is current."
  }
  assert {
    condition     = alltrue([for bucket in [google_storage_bucket.models, google_storage_bucket.history] : !bucket.force_destroy && bucket.deletion_policy == "ABANDON"])
    error_message = "terraform destroy leaves models and history alone."
  }
  assert {
    condition = (
      one([for policy in google_artifact_registry_repository.this.cleanup_policies : one(policy.most_recent_versions[*].keep_count) if policy.action == "KEEP"]) == 5
      && google_artifact_registry_repository.this.repository_id == "hourhand-paper"
      && google_artifact_registry_repository.this.cleanup_policy_dry_run == false
    )
    error_message = "The newest five images of each function are kept, the others go."
  }
}

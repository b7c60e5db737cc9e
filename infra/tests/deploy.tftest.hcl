# Who may deploy, from where, and what it may then do; and the budget.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan

  override_resource {
    target = google_service_account.deployer
    values = {
      id     = "projects/test-project/serviceAccounts/deployer@test-project.iam.gserviceaccount.com"
      email  = "deployer@test-project.iam.gserviceaccount.com"
      member = "serviceAccount:deployer@test-project.iam.gserviceaccount.com"
    }
  }
  override_resource {
    target = google_cloud_scheduler_job.this["tick"]
    values = { id = "projects/test-project/locations/asia-northeast1/jobs/tick" }
  }
  override_resource {
    target = google_cloud_scheduler_job.this["guard"]
    values = { id = "projects/test-project/locations/asia-northeast1/jobs/guard" }
  }
  override_resource {
    target = google_cloud_scheduler_job.second["guard"]
    values = { id = "projects/test-project/locations/asia-northeast2/jobs/guard" }
  }
  override_resource {
    target = google_iam_workload_identity_pool.github
    values = { name = "projects/123456789012/locations/global/workloadIdentityPools/hourhand-paper-github" }
  }
  mock_resource "google_pubsub_topic" {
    defaults = { id = "projects/test-project/topics/hourhand-paper-incidents" }
  }
  mock_resource "google_monitoring_notification_channel" {
    defaults = { id = "projects/test-project/notificationChannels/email" }
  }
}
mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id        = "test-project"
  environment       = "paper"
  alert_email       = "you@example.com"
  github_repository = "you/hourhand"
  # an earlier one: then no archive is packed, which is what takes long
  release = "0000000000000000000000000000000000000000000000000000000000000000"
}

run "nobody_deploys_unless_a_repository_is_named" {
  command = plan
  variables {
    github_repository = ""
  }
  assert {
    condition = alltrue([
      length(google_service_account.deployer) == 0,
      length(google_project_iam_member.deployer) == 0,
      length(google_project_iam_member.deployer_looks) == 0,
      length(google_service_account_iam_member.deployer_acts_as) == 0,
      length(google_iam_workload_identity_pool.github) == 0,
      length(google_iam_workload_identity_pool_provider.github) == 0,
      length(google_cloudbuild_trigger.this) == 0,
      length(google_cloud_run_v2_service_iam_member.deployer) == 0,
      length(google_storage_bucket_iam_member.deployer_state) == 0,
    ])
    error_message = "Somebody could deploy."
  }
  assert {
    condition     = output.deployer == "" && output.workload_identity_provider == "" && output.environment == "paper"
    error_message = "The outputs name a deployer that is not there."
  }
  assert {
    condition     = length(google_billing_budget.this) == 0
    error_message = "Without a billing account there is no budget."
  }
}

run "paper_is_deployed_from_one_branch_with_the_least_that_needs" {
  command = plan
  variables {
    github_branch   = "release/1.x"
    cloud_build     = true
    billing_account = "0A0A0A-0B0B0B-0C0C0C"
    budget          = { currency = "JPY", units = 1500 }
  }

  # GitHub
  assert {
    condition = google_iam_workload_identity_pool_provider.github[0].attribute_condition == join(" && ", [
      "assertion.repository == 'you/hourhand'",
      "assertion.ref == 'refs/heads/release/1.x'",
      "assertion.environment == 'paper'",
    ])
    error_message = "Another repository, branch or environment could deploy."
  }
  assert {
    condition     = google_iam_workload_identity_pool_provider.github[0].oidc[0].issuer_uri == "https://token.actions.githubusercontent.com"
    error_message = "Tokens of somebody else than GitHub are taken."
  }
  assert {
    condition = alltrue([
      google_service_account_iam_member.github[0].role == "roles/iam.workloadIdentityUser",
      google_service_account_iam_member.github[0].service_account_id == google_service_account.deployer[0].id,
      endswith(google_service_account_iam_member.github[0].member, "/hourhand-paper-github/attribute.repository/you/hourhand"),
    ])
    error_message = "Not only the repository may be the deployer."
  }

  # its rights
  assert {
    condition = toset(keys(google_project_iam_member.deployer)) == toset([
      "roles/cloudbuild.builds.viewer",
      "roles/cloudfunctions.developer",
      "roles/cloudscheduler.admin",
      "roles/logging.configWriter",
      "roles/logging.logWriter",
      "roles/monitoring.editor",
    ])
    error_message = "A role more in the whole project, or one less: is it needed, and does it give rights or read anything?"
  }
  assert {
    condition = alltrue([
      for permission in google_project_iam_custom_role.deployer[0].permissions :
      can(regex("[.](get|list|getMetadata|getIamPolicy)$", permission)) || permission == "serviceusage.services.use"
    ])
    error_message = "What a plan looks at changes nothing, and gives no rights."
  }
  assert {
    condition = length([
      for permission in google_project_iam_custom_role.deployer[0].permissions : permission
      if can(regex("entities|objects|versions|tables.getData|logEntries|setIamPolicy|serviceAccountKeys", permission))
    ]) == 0
    error_message = "What a plan looks at has no content: no documents, objects, secrets' values, rows or logs."
  }
  assert {
    condition = alltrue([
      for member in google_service_account_iam_member.deployer_acts_as : member.role == "roles/iam.serviceAccountUser"
      ]) && toset(keys(google_service_account_iam_member.deployer_acts_as)) == toset([
      "tick", "guard", "train", "cleanup", "alert", "status", "scheduler", "delivery", "builder",
    ])
    error_message = "It acts as the accounts of this deployment, and as no other."
  }
  assert {
    condition = alltrue([
      google_storage_bucket_iam_member.deployer_state[0].bucket == "test-project-hourhand-tfstate",
      google_storage_bucket_iam_member.deployer_state[0].role == "roles/storage.objectUser",
      google_storage_bucket_iam_member.deployer_sources[0].role == "roles/storage.objectUser",
      google_storage_bucket_iam_member.deployer_sources[0].bucket == google_storage_bucket.sources.name,
      google_billing_account_iam_member.deployer[0].role == "roles/billing.viewer",
    ])
    error_message = "It writes sources and Terraform's state, and nothing else."
  }
  assert {
    condition     = google_service_account_iam_member.deployer_tokens[0].service_account_id == google_service_account.deployer[0].id
    error_message = "It makes tokens of its own alone."
  }

  # Cloud Build
  assert {
    condition = alltrue([
      google_cloudbuild_trigger.this[0].github[0].owner == "you",
      google_cloudbuild_trigger.this[0].github[0].name == "hourhand",
      google_cloudbuild_trigger.this[0].github[0].push[0].branch == "^release/1\\.x$",
      google_cloudbuild_trigger.this[0].filename == "cloudbuild.yaml",
      google_cloudbuild_trigger.this[0].service_account == google_service_account.deployer[0].id,
      google_cloudbuild_trigger.this[0].substitutions["_ENVIRONMENT"] == "paper",
      !google_cloudbuild_trigger.this[0].approval_config[0].approval_required,
    ])
    error_message = "Another repository, branch or account could build, or paper waits."
  }
  assert {
    condition = alltrue([
      toset(keys(google_cloud_run_v2_service_iam_member.deployer)) == toset(["status"]),
      google_cloud_run_v2_service_iam_member.deployer["status"].name == "hourhand-paper-status",
      google_cloud_run_v2_service_iam_member.deployer["status"].role == "roles/run.invoker",
      tolist(output.smoke_jobs) == tolist(["projects/test-project/locations/asia-northeast1/jobs/tick"]),
    ])
    error_message = "The smoke test of paper asks status, and runs a tick by its schedule."
  }

  # the budget
  assert {
    condition = alltrue([
      google_billing_budget.this[0].billing_account == "0A0A0A-0B0B0B-0C0C0C",
      google_billing_budget.this[0].amount[0].specified_amount[0].units == "1500",
      google_billing_budget.this[0].amount[0].specified_amount[0].currency_code == "JPY",
      google_billing_budget.this[0].budget_filter[0].projects == toset(["projects/123456789012"]),
    ])
    error_message = "It is not this project's money that is counted."
  }
  assert {
    condition = [for rule in google_billing_budget.this[0].threshold_rules : [rule.threshold_percent, rule.spend_basis]] == [
      [0.5, "CURRENT_SPEND"], [0.9, "CURRENT_SPEND"], [1, "CURRENT_SPEND"], [1, "FORECASTED_SPEND"],
    ]
    error_message = "A person is told at 50, 90 and 100 percent, and when 100 is to be expected."
  }
  assert {
    condition = alltrue([
      google_billing_budget.this[0].all_updates_rule[0].pubsub_topic == google_pubsub_topic.incidents.id,
      google_billing_budget.this[0].all_updates_rule[0].monitoring_notification_channels == tolist([google_monitoring_notification_channel.email.id]),
    ])
    error_message = "The budget reaches nobody."
  }
}

run "live_waits_for_a_person_and_is_never_forced_to_tick" {
  command = plan
  variables {
    environment   = "live"
    real_money    = "I trade real money in test-project"
    cloud_build   = true
    second_region = "asia-northeast2"
  }
  assert {
    condition     = google_cloudbuild_trigger.this[0].approval_config[0].approval_required
    error_message = "Live would be deployed without an approval."
  }
  assert {
    condition     = strcontains(google_iam_workload_identity_pool_provider.github[0].attribute_condition, "assertion.environment == 'live'")
    error_message = "Live would be deployed from an environment without reviewers."
  }
  assert {
    condition = tolist(output.smoke_jobs) == tolist([
      "projects/test-project/locations/asia-northeast1/jobs/guard",
      "projects/test-project/locations/asia-northeast2/jobs/guard",
    ])
    error_message = "A live tick could be run out of turn."
  }
}

run "cloud_build_without_a_repository_is_refused" {
  command = plan
  variables {
    cloud_build       = true
    github_repository = ""
  }
  expect_failures = [google_cloudbuild_trigger.this]
}

run "a_quote_in_a_branch_cannot_widen_the_condition" {
  command = plan
  variables {
    github_branch = "main' || 'a' == 'a"
  }
  expect_failures = [google_iam_workload_identity_pool_provider.github]
}


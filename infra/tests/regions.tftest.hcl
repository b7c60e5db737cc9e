# tick and guard in two regions, with fixed addresses.

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

run "two_regions" {
  command = plan
  variables {
    second_region = "asia-northeast2"
    static_egress = true
  }

  assert {
    condition     = toset(keys(google_cloudfunctions2_function.second)) == toset(["tick", "guard"])
    error_message = "Only what cannot wait is there twice."
  }
  assert {
    condition = alltrue([for name, function in google_cloudfunctions2_function.second :
      function.location == "asia-northeast2"
      && function.name == google_cloudfunctions2_function.this[name].name
      && function.service_config[0].service_account_email == google_cloudfunctions2_function.this[name].service_config[0].service_account_email
      && function.service_config[0].environment_variables == google_cloudfunctions2_function.this[name].service_config[0].environment_variables
      && function.service_config[0].timeout_seconds == google_cloudfunctions2_function.this[name].service_config[0].timeout_seconds
      && one(function.build_config[0].source[0].storage_source[*].object) == one(google_cloudfunctions2_function.this[name].build_config[0].source[0].storage_source[*].object)
      && function.build_config[0].docker_repository == google_artifact_registry_repository.second[0].id
    ])
    error_message = "The same code as the same account on the same state; only images lie where they are used."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["tick"].service_config[0].environment_variables["HOURHAND__DEPLOYMENT__REGIONS"] == "[\"asia-northeast1\",\"asia-northeast2\"]"
    error_message = "cleanup looks into both regions."
  }
  assert {
    condition = alltrue([for name, job in google_cloud_scheduler_job.second :
      job.region == "asia-northeast2"
      && job.schedule == google_cloud_scheduler_job.this[name].schedule
      && job.http_target[0].uri == "https://${name}-second.invalid"
      && job.http_target[0].oidc_token[0].audience == "https://${name}-second.invalid"
      && job.attempt_deadline == google_cloud_scheduler_job.this[name].attempt_deadline
    ]) && toset(keys(google_cloud_scheduler_job.second)) == toset(["tick", "guard"])
    error_message = "Both regions' schedulers fire, each calls its own region."
  }
  assert {
    condition     = google_cloud_scheduler_job.second["tick"].retry_config[0].retry_count >= 1
    error_message = "Whoever is told busy asks again."
  }
  assert {
    condition = toset([for grant in google_cloud_run_v2_service_iam_member.scheduler_second : "${grant.location} ${grant.name} ${grant.role} ${grant.member}"]) == toset([
      for name in ["tick", "guard"] : "asia-northeast2 hourhand-paper-${name} roles/run.invoker serviceAccount:scheduler@test-project.iam.gserviceaccount.com"
    ])
    error_message = "The scheduler may call both."
  }
  assert {
    condition     = toset([for grant in concat(values(google_artifact_registry_repository_iam_member.builder), values(google_artifact_registry_repository_iam_member.cleanup)) : grant.location]) == toset(["asia-northeast1", "asia-northeast2"])
    error_message = "Images of both regions are built and cleaned up."
  }
  assert {
    condition = alltrue([for name, function in google_cloudfunctions2_function.this :
      length(function.service_config[0].direct_vpc_network_interface) == (contains(["tick", "guard"], name) ? 1 : 0)
      && (!contains(["tick", "guard"], name) || function.service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC")
    ])
    error_message = "All that tick and guard send leaves by the fixed address; the others need none."
  }
  assert {
    condition = alltrue([for region, nat in google_compute_router_nat.egress :
      nat.region == region && nat.nat_ip_allocate_option == "MANUAL_ONLY" && length(nat.nat_ips) == 1
    ]) && toset(keys(google_compute_router_nat.egress)) == toset(["asia-northeast1", "asia-northeast2"])
    error_message = "Each region has an address that stays."
  }
}

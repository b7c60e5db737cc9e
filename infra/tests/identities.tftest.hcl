# Who may do what. Every list here is complete: one grant more is a failure.

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
    condition = { for grant in google_project_iam_member.database : grant.member => grant.role } == {
      for name in ["tick", "guard", "train", "cleanup", "alert", "status"] :
      "serviceAccount:${name}@test-project.iam.gserviceaccount.com" => name == "status" ? "roles/datastore.viewer" : "roles/datastore.user"
    }
    error_message = "Functions read and write the state; status only reads it."
  }
  assert {
    condition = alltrue([for grant in google_project_iam_member.database : endswith(
      one(grant.condition[*].expression), "resource.name == \"projects/test-project/databases/hourhand-paper\""
    )])
    error_message = "Of all databases in the project, only this deployment's."
  }
  assert {
    condition = toset([for grant in google_storage_bucket_iam_member.function :
      "${split("@", trimprefix(grant.member, "serviceAccount:"))[0]} ${trimprefix(grant.bucket, "test-project-hourhand-paper-")} ${grant.role}"
      ]) == toset([
      "tick models roles/storage.objectViewer",
      "train models roles/storage.objectUser",
      "train history roles/storage.objectUser",
      "cleanup models roles/storage.objectUser",
      "cleanup history roles/storage.objectUser",
      "cleanup sources roles/storage.objectUser",
    ])
    error_message = "What trades cannot write models; only train and cleanup write them and the history."
  }
  assert {
    condition     = google_project_iam_custom_role.revisions.permissions == toset(["run.revisions.delete", "run.revisions.get", "run.revisions.list", "run.services.get", "run.services.list"])
    error_message = "cleanup may look at services and delete revisions, no more."
  }
  assert {
    condition     = google_project_iam_member.revisions.member == "serviceAccount:cleanup@test-project.iam.gserviceaccount.com"
    error_message = "Only cleanup deletes revisions."
  }
  assert {
    condition = alltrue(concat(
      [for grant in google_artifact_registry_repository_iam_member.cleanup : grant.role == "roles/artifactregistry.repoAdmin" && startswith(grant.member, "serviceAccount:cleanup@")],
      [for grant in google_artifact_registry_repository_iam_member.builder : grant.role == "roles/artifactregistry.writer" && startswith(grant.member, "serviceAccount:builder@")],
    ))
    error_message = "The builder writes images, cleanup removes them."
  }
  assert {
    condition = (
      google_project_iam_member.builder_logs.role == "roles/logging.logWriter"
      && google_project_iam_member.builder_sources.role == "roles/storage.objectViewer"
      && length(google_project_iam_member.builder_sources.condition) == 1
    )
    error_message = "The builder writes logs and reads sources, no other bucket."
  }
  assert {
    condition = toset([for grant in google_cloud_run_v2_service_iam_member.scheduler : "${grant.name} ${grant.role} ${grant.member}"]) == toset([
      for name in ["tick", "guard", "train", "cleanup", "alert"] :
      "hourhand-paper-${name} roles/run.invoker serviceAccount:scheduler@test-project.iam.gserviceaccount.com"
    ])
    error_message = "The scheduler calls what has a schedule; nobody was given status."
  }
  assert {
    condition = (
      google_cloud_run_v2_service_iam_member.delivery.name == "hourhand-paper-alert"
      && google_cloud_run_v2_service_iam_member.delivery.role == "roles/run.invoker"
      && google_cloud_run_v2_service_iam_member.delivery.member == "serviceAccount:delivery@test-project.iam.gserviceaccount.com"
      && google_project_iam_member.events.role == "roles/eventarc.eventReceiver"
      && google_project_iam_member.events.member == "serviceAccount:delivery@test-project.iam.gserviceaccount.com"
    )
    error_message = "Deliveries reach alert only."
  }
  assert {
    condition = alltrue([for file in fileset("${local.root}/infra", "**/*.tf") : !can(regex(
      "(?m)^[^#\\n]*(allUsers|allAuthenticatedUsers|roles/(editor|owner|viewer)\"|_iam_policy\")", file("${local.root}/infra/${file}")
    ))])
    error_message = "No public member, no basic role, and no policy that would replace what others granted."
  }
  assert {
    condition = toset([for grant in google_secret_manager_secret_iam_member.reader : "${grant.role} ${grant.member}"]) == toset([
      "roles/secretmanager.secretAccessor serviceAccount:alert@test-project.iam.gserviceaccount.com",
    ])
    error_message = "On paper nobody reads a venue's key; alert reads Discord's address."
  }
  assert {
    condition     = toset([for secret in google_secret_manager_secret.this : secret.secret_id]) == toset([for name in ["VENUE_API_KEY", "VENUE_API_SECRET", "VENUE_API_PASSWORD", "DISCORD_WEBHOOK_URL"] : "hourhand-paper-${name}"])
    error_message = "Four secrets, named as the code asks for them."
  }
  assert {
    condition     = alltrue([for file in fileset("${local.root}/infra", "**/*.tf") : !strcontains(file("${local.root}/infra/${file}"), "secret_version")])
    error_message = "Terraform never holds a secret's value: no version of a secret is made or read here."
  }
}

run "live" {
  command = plan
  plan_options {
    target = [google_secret_manager_secret_iam_member.reader, google_project_iam_member.database]
  }
  variables {
    environment = "live"
    real_money  = "I trade real money in test-project"
    discord     = false
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.reader)) == toset([for pair in setproduct(["VENUE_API_KEY", "VENUE_API_SECRET", "VENUE_API_PASSWORD"], ["tick", "guard"]) : "${pair[0]} by ${pair[1]}"])
    error_message = "Only tick and guard read the venue's keys, and without Discord nobody reads its address."
  }
  assert {
    condition = alltrue([for name, grant in google_secret_manager_secret_iam_member.reader :
      grant.member == "serviceAccount:${split(" by ", name)[1]}@test-project.iam.gserviceaccount.com"
    ])
    error_message = "Each grant is to whom it says."
  }
  assert {
    condition     = alltrue([for grant in google_project_iam_member.database : strcontains(one(grant.condition[*].expression), "databases/hourhand-live\"")])
    error_message = "Live has a database of its own."
  }
}

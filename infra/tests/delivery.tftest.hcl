# How the function alert hears of things, and what becomes of what it cannot be told.

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
    condition = (
      google_pubsub_subscription.incidents.push_config[0].push_endpoint == "https://alert.invalid"
      && google_pubsub_subscription.incidents.push_config[0].oidc_token[0].audience == "https://alert.invalid"
      && google_pubsub_subscription.incidents.push_config[0].oidc_token[0].service_account_email == "delivery@test-project.iam.gserviceaccount.com"
    )
    error_message = "Incidents are pushed to alert, with an identity made out to it."
  }
  assert {
    condition     = google_pubsub_subscription.incidents.ack_deadline_seconds >= google_cloudfunctions2_function.this["alert"].service_config[0].timeout_seconds
    error_message = "Pub/Sub waits as long as alert may take."
  }
  assert {
    condition = (
      google_pubsub_subscription.incidents.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead.id
      && google_pubsub_subscription.incidents.dead_letter_policy[0].max_delivery_attempts == 20
      && google_pubsub_subscription.dead.topic == google_pubsub_topic.dead.id
      && google_pubsub_subscription.dead.message_retention_duration == "2678400s"
      && length(google_pubsub_subscription.dead.push_config) == 0
    )
    error_message = "What cannot be delivered is kept for 31 days, for a person to pull."
  }
  assert {
    condition     = alltrue([for subscription in [google_pubsub_subscription.incidents, google_pubsub_subscription.dead] : subscription.expiration_policy[0].ttl == ""])
    error_message = "A quiet month does not delete a subscription."
  }
  assert {
    condition = (
      google_pubsub_topic_iam_member.dead.role == "roles/pubsub.publisher"
      && google_pubsub_topic_iam_member.dead.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
      && google_pubsub_subscription_iam_member.incidents.role == "roles/pubsub.subscriber"
      && google_pubsub_subscription_iam_member.incidents.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
      && google_pubsub_topic_iam_member.monitoring.role == "roles/pubsub.publisher"
      && google_pubsub_topic_iam_member.monitoring.member == "serviceAccount:service-123456789012@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
    )
    error_message = "Monitoring writes incidents; Pub/Sub moves what cannot be delivered."
  }
  assert {
    condition = { for criterion in google_eventarc_trigger.outbox.matching_criteria : criterion.attribute => criterion.value } == {
      type = "google.cloud.firestore.document.v1.created", database = "hourhand-paper", document = "outbox/{id}"
    }
    error_message = "Each new document of this deployment's outbox calls alert."
  }
  assert {
    condition = (
      google_eventarc_trigger.outbox.location == google_firestore_database.this.location_id
      && google_eventarc_trigger.outbox.destination[0].cloud_run_service[0].service == "hourhand-paper-alert"
      && google_eventarc_trigger.outbox.service_account == "delivery@test-project.iam.gserviceaccount.com"
    )
    error_message = "From where the database is, to alert, as delivery."
  }
}

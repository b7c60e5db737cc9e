# How the function alert hears of things: a document in the outbox, an incident of Cloud Monitoring, a call each five
# minutes (schedules.tf). Whatever cannot be delivered is kept in `dead`.

locals {
  # Google's own accounts in this project.
  agent            = "serviceAccount:service-${data.google_project.this.number}@gcp-sa"
  pubsub_agent     = "${local.agent}-pubsub.iam.gserviceaccount.com"
  monitoring_agent = "${local.agent}-monitoring-notification.iam.gserviceaccount.com"
}

# Cloud Monitoring and the budget write to it.
resource "google_pubsub_topic" "incidents" {
  name       = "${local.name}-incidents"
  depends_on = [google_project_service.this]
}

resource "google_pubsub_subscription" "incidents" {
  name                       = "${local.name}-incidents"
  topic                      = google_pubsub_topic.incidents.id
  ack_deadline_seconds       = local.deadline_s["alert"]
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = google_cloudfunctions2_function.this["alert"].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.delivery.email
      audience              = google_cloudfunctions2_function.this["alert"].service_config[0].uri
    }
  }
  expiration_policy {
    ttl = "" # never
  }
  # alert writes an incident into the outbox first, and answers 503 or 500 while the channel is down: about three hours.
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = 20
  }
  depends_on = [google_cloud_run_v2_service_iam_member.delivery]
}

resource "google_pubsub_topic" "dead" {
  name       = "${local.name}-dead"
  depends_on = [google_project_service.this]
}

resource "google_pubsub_subscription" "dead" {
  name                       = "${local.name}-dead"
  topic                      = google_pubsub_topic.dead.id
  message_retention_duration = "2678400s" # 31 days, the most there is
  expiration_policy {
    ttl = "" # never
  }
}

# To forward dead letters, Pub/Sub's agent publishes them there and acknowledges them here.
resource "google_pubsub_topic_iam_member" "dead" {
  topic      = google_pubsub_topic.dead.id
  role       = "roles/pubsub.publisher"
  member     = local.pubsub_agent
  depends_on = [google_pubsub_subscription.incidents]
}

resource "google_pubsub_subscription_iam_member" "incidents" {
  subscription = google_pubsub_subscription.incidents.id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# Cloud Monitoring's agent is there once the first channel of this kind is.
resource "google_pubsub_topic_iam_member" "monitoring" {
  topic      = google_pubsub_topic.incidents.id
  role       = "roles/pubsub.publisher"
  member     = local.monitoring_agent
  depends_on = [google_monitoring_notification_channel.incidents]
}

# Each new document of the outbox. The event has to come from the database's own region.
resource "google_eventarc_trigger" "outbox" {
  name                    = "${local.name}-outbox"
  location                = google_firestore_database.this.location_id
  service_account         = google_service_account.delivery.email
  event_data_content_type = "application/protobuf"

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.firestore.document.v1.created"
  }
  matching_criteria {
    attribute = "database"
    value     = google_firestore_database.this.name
  }
  matching_criteria {
    attribute = "document"
    operator  = "match-path-pattern"
    value     = "outbox/{id}"
  }
  destination {
    cloud_run_service {
      service = google_cloudfunctions2_function.this["alert"].name
      region  = google_cloudfunctions2_function.this["alert"].location
    }
  }
  depends_on = [google_cloud_run_v2_service_iam_member.delivery, time_sleep.grants]
}

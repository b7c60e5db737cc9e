# How incidents reach the function alert.

resource "google_pubsub_topic" "incidents" {
  name       = "${local.name}-incidents"
  depends_on = [google_project_service.this]
}

resource "google_pubsub_topic" "dead" {
  name       = "${local.name}-dead"
  depends_on = [google_project_service.this]
}

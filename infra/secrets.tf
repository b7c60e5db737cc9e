# Secrets without values: a person adds those, and they never pass through Terraform or its state.

resource "google_secret_manager_secret" "this" {
  for_each  = toset(["VENUE_API_KEY", "VENUE_API_SECRET", "VENUE_API_PASSWORD", "DISCORD_WEBHOOK_URL"])
  secret_id = "${local.name}-${each.key}"
  replication {
    auto {}
  }
  depends_on = [google_project_service.this]
}

# Secrets without values. A person adds those (docs/go_live.md); they pass neither through Terraform nor through its
# state, and the functions ask for them when they need them.

locals {
  # Who may read what, as "SECRET by FUNCTION". Paper trades without keys, and training never sees them.
  venue_keys = ["VENUE_API_KEY", "VENUE_API_SECRET", "VENUE_API_PASSWORD"]
  readers = merge(
    { for pair in setproduct(local.venue_keys, local.trading) : "${pair[0]} by ${pair[1]}" => pair if local.live },
    { for pair in [["DISCORD_WEBHOOK_URL", "alert"]] : "${pair[0]} by ${pair[1]}" => pair if var.discord },
  )
}

resource "google_secret_manager_secret" "this" {
  for_each            = toset(concat(local.venue_keys, ["DISCORD_WEBHOOK_URL"]))
  secret_id           = "${local.name}-${each.key}"
  deletion_protection = false # a key is made anew at the venue
  depends_on          = [google_project_service.this]

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each  = local.readers
  secret_id = google_secret_manager_secret.this[each.value[0]].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value[1]].member
}

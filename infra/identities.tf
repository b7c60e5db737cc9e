# One account for each function, with the least it needs.

resource "google_service_account" "function" {
  for_each     = local.functions
  account_id   = "${local.name}-${each.key}"
  display_name = "Hourhand ${var.environment}: the function ${each.key}"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "scheduler" {
  account_id   = "${local.name}-scheduler"
  display_name = "Hourhand ${var.environment}: calls functions on time"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "delivery" {
  account_id   = "${local.name}-delivery"
  display_name = "Hourhand ${var.environment}: brings incidents and alerts to the function alert"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "builder" {
  account_id   = "${local.name}-builder"
  display_name = "Hourhand ${var.environment}: builds the functions' images"
  depends_on   = [google_project_service.this]
}

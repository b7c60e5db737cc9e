# The state of every book: Firestore, native mode, one database for each deployment.

resource "google_firestore_database" "this" {
  name        = local.name
  location_id = var.region
  type        = "FIRESTORE_NATIVE"
  depends_on  = [google_project_service.this]
}

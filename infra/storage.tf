# Buckets, and the repository of the functions' images.

resource "google_storage_bucket" "models" {
  name     = "${local.unique}-models"
  location = var.region
}

resource "google_storage_bucket" "history" {
  name     = "${local.unique}-history"
  location = var.region
}

resource "google_storage_bucket" "sources" {
  name     = "${local.unique}-sources"
  location = var.region
}

resource "google_artifact_registry_repository" "this" {
  repository_id = local.name
  location      = var.region
  format        = "DOCKER"
}

# Buckets, and the repository of the functions' images.

locals {
  buckets_kept = var.keep_history ? "ABANDON" : "DELETE"
  repositories = merge(
    { this = google_artifact_registry_repository.this },
    { for repository in google_artifact_registry_repository.second : "second" => repository },
  )
}

# Models are named by their digest and never change. They outlive a destroy like the history: the records refer to them.
resource "google_storage_bucket" "models" {
  name                        = "${local.unique}-models"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  deletion_policy             = local.buckets_kept
  force_destroy               = !var.keep_history
  depends_on                  = [google_project_service.this]

  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = 604800
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }
}

# Price history, archived records and backups. What is current is removed by the function cleanup only.
resource "google_storage_bucket" "history" {
  name                        = "${local.unique}-history"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  deletion_policy             = local.buckets_kept
  force_destroy               = !var.keep_history
  depends_on                  = [google_project_service.this]

  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = 2592000
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }
}

# Source archives. The function cleanup removes old ones, never the one that is deployed nor the one before it; only what
# it removed is deleted for good here.
resource "google_storage_bucket" "sources" {
  name                        = "${local.unique}-sources"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  depends_on                  = [google_project_service.this]

  versioning {
    enabled = true
  }
  soft_delete_policy {
    retention_duration_seconds = 604800
  }
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = var.retention.source_days
      with_state                 = "ARCHIVED"
    }
  }
}

# The functions' images. A repository serves its own region only.
resource "google_artifact_registry_repository" "this" {
  repository_id          = local.name
  location               = var.region
  format                 = "DOCKER"
  cleanup_policy_dry_run = false
  description            = "Images of the functions of ${local.name}."
  depends_on             = [google_project_service.this]

  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = var.retention.images
    }
  }
  cleanup_policies {
    id     = "delete-others"
    action = "DELETE"
    condition {
      older_than = "86400s"
    }
  }
}

resource "google_artifact_registry_repository" "second" {
  count                  = var.second_region == "" ? 0 : 1
  repository_id          = local.name
  location               = var.second_region
  format                 = "DOCKER"
  cleanup_policy_dry_run = false
  description            = "Images of the functions of ${local.name}."
  depends_on             = [google_project_service.this]

  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = var.retention.images
    }
  }
  cleanup_policies {
    id     = "delete-others"
    action = "DELETE"
    condition {
      older_than = "86400s"
    }
  }
}

# The six functions. What they may do stands in identities.tf.

locals {
  functions = {
    tick    = { memory = "512Mi", cpu = "0.333", timeout_s = var.lease_s, instances = 2, archive = "serve" }
    guard   = { memory = "256Mi", cpu = "0.167", timeout_s = var.lease_s, instances = 2, archive = "serve" }
    train   = { memory = "2Gi", cpu = "1", timeout_s = 1800, instances = 1, archive = "train" }
    cleanup = { memory = "512Mi", cpu = "0.333", timeout_s = 900, instances = 1, archive = "serve" }
    alert   = { memory = "256Mi", cpu = "0.167", timeout_s = 60, instances = 3, archive = "serve" }
    status  = { memory = "256Mi", cpu = "0.167", timeout_s = 60, instances = 2, archive = "serve" }
  }
  regions = compact([var.region, var.second_region])
}

resource "google_cloudfunctions2_function" "this" {
  for_each = local.functions
  name     = "${local.name}-${each.key}"
  location = var.region

  build_config {
    runtime     = "python313"
    entry_point = each.key
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = "${local.release}/${each.value.archive}.zip"
      }
    }
  }
  service_config {
    service_account_email = google_service_account.function[each.key].email
  }
}

resource "google_cloudfunctions2_function" "second" {
  for_each = var.second_region == "" ? {} : { for name in ["tick", "guard"] : name => local.functions[name] }
  name     = "${local.name}-${each.key}"
  location = var.second_region

  build_config {
    runtime     = "python313"
    entry_point = each.key
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = "${local.release}/${each.value.archive}.zip"
      }
    }
  }
  service_config {
    service_account_email = google_service_account.function[each.key].email
  }
}

# The six functions, from one map. What each may do stands in identities.tf, when it is called in schedules.tf.

locals {
  # memory, cpu: what was measured (docs/cost.md), and then some. Below one CPU an instance serves one request at a time.
  # timeout_s: tick and guard hold their book for [tick] lease_s and must be gone when it ends, so that never two act.
  # most: instances at a time. tick and guard: one at work, and one that tells whoever else calls "busy"; train, cleanup:
  # one, for they are idempotent and slow; alert: Pub/Sub, Firestore's events and the scheduler may call at once.
  # ingress: Cloud Scheduler, Pub/Sub and Eventarc of this project count as internal. What the smoke test calls
  # (deployers.tf) can be reached from elsewhere as well, by whoever may invoke it.
  functions = {
    tick = {
      memory = "512Mi", cpu = "0.333", timeout_s = var.lease_s, most = 2, archive = "serve"
      says   = "One bar, one decision; each hour."
    }
    guard = {
      memory = "256Mi", cpu = "0.167", timeout_s = var.lease_s, most = 2, archive = "serve"
      says   = "What cannot wait for the next bar; each minute."
    }
    train = {
      memory = "2Gi", cpu = "1", timeout_s = 1800, most = 1, archive = "train"
      says   = "Trains, judges, and publishes or refuses; each week."
    }
    cleanup = {
      memory = "512Mi", cpu = "0.333", timeout_s = 900, most = 1, archive = "serve"
      says   = "Removes what nobody needs any more; each month."
    }
    alert = {
      memory = "256Mi", cpu = "0.167", timeout_s = 60, most = 3, archive = "serve"
      says   = "Tells a person what waits in the outbox."
    }
    status = {
      memory = "256Mi", cpu = "0.167", timeout_s = 60, most = 2, archive = "serve"
      says   = "Where every book stands."
    }
  }
  ingress = {
    for name in keys(local.functions) : name => contains(local.smoked, name) ? "ALLOW_ALL" : "ALLOW_INTERNAL_ONLY"
  }
  trading = ["tick", "guard"] # what holds a book's lease, may use the venue's keys, and runs in a second region as well
  regions = compact([var.region, var.second_region])

  environment = {
    GOOGLE_CLOUD_PROJECT             = var.project_id
    HOURHAND_CONFIG                  = local.config
    HOURHAND_RELEASE                 = local.release # not a setting: cleanup tells by it which archives serve
    HOURHAND__ALERTS__CHANNEL        = var.discord ? "discord" : "log"
    HOURHAND__DEPLOYMENT__COMMIT     = local.commit
    HOURHAND__DEPLOYMENT__NAME       = local.name
    HOURHAND__DEPLOYMENT__PROJECT    = var.project_id
    HOURHAND__DEPLOYMENT__REGIONS    = jsonencode(local.regions)
    HOURHAND__DEPLOYMENT__SOURCES    = google_storage_bucket.sources.name
    HOURHAND__LOG__PROJECT           = var.project_id
    HOURHAND__MODELS__BACKEND        = "gcs"
    HOURHAND__MODELS__BUCKET         = google_storage_bucket.models.name
    HOURHAND__MODELS__HISTORY_BUCKET = google_storage_bucket.history.name
    HOURHAND__SECRETS__BACKEND       = "gcp"
    HOURHAND__SECRETS__PREFIX        = "${local.name}-"
    HOURHAND__STATE__BACKEND         = "firestore"
    HOURHAND__STATE__DATABASE        = google_firestore_database.this.name
    HOURHAND__STATE__PROJECT         = var.project_id
    HOURHAND__TICK__LEASE_S          = tostring(var.lease_s)
  }
}

resource "google_cloudfunctions2_function" "this" {
  #checkov:skip=CKV_GCP_124:only what the smoke test calls can be reached from outside, by whoever has run.invoker on it
  for_each    = local.functions
  name        = "${local.name}-${each.key}"
  location    = var.region
  description = each.value.says

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    docker_repository = google_artifact_registry_repository.this.id
    service_account   = google_service_account.builder.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = "${local.release}/${each.value.archive}.zip"
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    environment_variables            = local.environment
    available_memory                 = each.value.memory
    available_cpu                    = each.value.cpu
    timeout_seconds                  = each.value.timeout_s
    min_instance_count               = 0
    max_instance_count               = each.value.most
    max_instance_request_concurrency = 1
    ingress_settings                 = local.ingress[each.key]
    all_traffic_on_latest_revision   = true
    direct_vpc_egress                = contains(local.fixed, each.key) ? "VPC_EGRESS_ALL_TRAFFIC" : null

    dynamic "direct_vpc_network_interface" {
      for_each = contains(local.fixed, each.key) ? [var.region] : []
      content {
        network    = google_compute_network.egress[0].name
        subnetwork = google_compute_subnetwork.egress[direct_vpc_network_interface.value].name
      }
    }
  }

  lifecycle {
    precondition {
      condition     = !contains(local.trading, each.key) || each.value.timeout_s <= var.lease_s
      error_message = "${each.key} would run longer than its lease: a second one could act on the same book meanwhile."
    }
  }
  depends_on = [google_storage_bucket_object.source, time_sleep.grants, terraform_data.promises]
}

# The same two again, in another region. State, models and secrets stay where they are.
resource "google_cloudfunctions2_function" "second" {
  #checkov:skip=CKV_GCP_124:only what the smoke test calls can be reached from outside, by whoever has run.invoker on it
  for_each    = { for name in local.trading : name => local.functions[name] if var.second_region != "" }
  name        = "${local.name}-${each.key}"
  location    = var.second_region
  description = each.value.says

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    docker_repository = google_artifact_registry_repository.second[0].id
    service_account   = google_service_account.builder.id
    source {
      storage_source {
        bucket = google_storage_bucket.sources.name
        object = "${local.release}/${each.value.archive}.zip"
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    environment_variables            = local.environment
    available_memory                 = each.value.memory
    available_cpu                    = each.value.cpu
    timeout_seconds                  = each.value.timeout_s
    min_instance_count               = 0
    max_instance_count               = each.value.most
    max_instance_request_concurrency = 1
    ingress_settings                 = local.ingress[each.key]
    all_traffic_on_latest_revision   = true
    direct_vpc_egress                = contains(local.fixed, each.key) ? "VPC_EGRESS_ALL_TRAFFIC" : null

    dynamic "direct_vpc_network_interface" {
      for_each = contains(local.fixed, each.key) ? [var.second_region] : []
      content {
        network    = google_compute_network.egress[0].name
        subnetwork = google_compute_subnetwork.egress[direct_vpc_network_interface.value].name
      }
    }
  }

  lifecycle {
    precondition {
      condition     = each.value.timeout_s <= var.lease_s
      error_message = "${each.key} would run longer than its lease: a second one could act on the same book meanwhile."
    }
  }
  depends_on = [google_storage_bucket_object.source, time_sleep.grants, terraform_data.promises]
}

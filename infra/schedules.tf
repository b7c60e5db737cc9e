# What wakes the functions.

locals {
  schedules = {
    tick    = { cron = var.tick_schedule, zone = "Etc/UTC" }
    guard   = { cron = var.guard_schedule, zone = "Etc/UTC" }
    train   = { cron = "0 18 * * 0", zone = "Asia/Tokyo" }
    cleanup = { cron = "1st sunday of month 02:00", zone = "Asia/Tokyo" }
    alert   = { cron = "*/5 * * * *", zone = "Etc/UTC" }
  }
}

resource "google_cloud_scheduler_job" "this" {
  for_each  = local.schedules
  name      = "${local.name}-${each.key}"
  region    = var.region
  schedule  = each.value.cron
  time_zone = each.value.zone

  http_target {
    uri = google_cloudfunctions2_function.this[each.key].service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.scheduler.email
    }
  }
}

resource "google_cloud_scheduler_job" "second" {
  for_each  = google_cloudfunctions2_function.second
  name      = "${local.name}-${each.key}"
  region    = var.second_region
  schedule  = local.schedules[each.key].cron
  time_zone = local.schedules[each.key].zone

  http_target {
    uri = each.value.service_config[0].uri
    oidc_token {
      service_account_email = google_service_account.scheduler.email
    }
  }
}

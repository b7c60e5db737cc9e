# What a month may cost. Google counts with a delay of hours, and a budget stops nothing: it tells.

# The whole project is counted: a filter by label would miss what carries none (schedules, logs, traffic, builds). When
# paper and live share a project, give billing_account to one of them only, or both tell of the same money.
resource "google_billing_budget" "this" {
  count           = var.billing_account == "" ? 0 : 1
  billing_account = var.billing_account
  display_name    = local.name

  budget_filter {
    projects        = ["projects/${data.google_project.this.number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency # the billing account's own
      units         = tostring(var.budget.units)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
      spend_basis       = "CURRENT_SPEND"
    }
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  # By e-mail once a threshold. To the topic Google says many times a day how the budget stands; the function alert
  # makes one alert of each threshold and month (core/flows/alert.py).
  all_updates_rule {
    pubsub_topic                     = google_pubsub_topic.incidents.id
    schema_version                   = "1.0"
    monitoring_notification_channels = [google_monitoring_notification_channel.email.id]
  }

  depends_on = [google_project_service.this]
}

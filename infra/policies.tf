# When a person is told. Each policy has its section in docs/runbooks.md; Google will charge for each condition,
# so each policy has one (docs/cost.md). The budget is told of by billing itself (budget.tf).

resource "google_monitoring_notification_channel" "email" {
  display_name = "${local.name}: e-mail"
  type         = "email"
  labels       = { email_address = var.alert_email }
  depends_on   = [google_project_service.this]
}

# To the function alert, and so to Discord.
resource "google_monitoring_notification_channel" "incidents" {
  display_name = "${local.name}: the function alert"
  type         = "pubsub"
  labels       = { topic = google_pubsub_topic.incidents.id }
  depends_on   = [google_project_service.this]
}

locals {
  # Hours between two bars, by the schedule: "0 * * * *" is 1, "0 */4 * * *" is 4, "0 0,12 * * *" is 12.
  hours_field = split(" ", var.tick_schedule)[1]
  bar_h = (
    local.hours_field == "*" ? 1 :
    startswith(local.hours_field, "*/") ? tonumber(trimprefix(local.hours_field, "*/")) :
    ceil(24 / length(split(",", local.hours_field)))
  )
  longest_h = 25 # that a condition may look back
  silence_h = min(local.longest_h, 2 * local.bar_h)
  in_a_row  = max(1, min(4, floor(local.longest_h / local.bar_h)))
  in_a_while = {
    window_s = 3600 * min(local.longest_h, local.in_a_row * local.bar_h)
    above    = local.in_a_row - 1
  }

  services_named = "one_of(${join(",", formatlist("\"%s\"", local.services))})"
  decided        = "one_of(\"traded\",\"held\",\"stayed_out\",\"refused\",\"halted\")"
  user_metric    = { for key, type in local.metric_type : key => "metric.type=\"${type}\" AND resource.type=\"cloud_run_revision\"" }

  # The title, in lower case and with hyphens, is the heading's address in docs/runbooks.md.
  policies = {
    heartbeat = {
      title    = "No tick decides"
      severity = "CRITICAL"
      means    = "No tick has decided anything for ${local.silence_h} hours (a decision to do nothing counts). Nobody follows open positions but the guard, and the venue's own stops."
      filter   = "${local.user_metric["ticks"]} AND metric.labels.outcome=${local.decided}"
      window_s = 3600 * local.silence_h
      by       = []
      below    = 1
      holds_s  = 600 # the tick of the hour may just be at it
      missing  = "ACTIVE"
      repeat_s = 43200
    }
    trouble = {
      title    = "A book needs a person"
      severity = "CRITICAL"
      means    = "A book halted itself because its state and the venue disagree, or the outcome of an order stays unknown. Its stops at the venue rest; it sends nothing until you resume it."
      filter   = local.user_metric["trouble"]
      window_s = 3600
      by       = ["book", "kind"]
      above    = 0
      missing  = "INACTIVE"
    }
    errors = {
      title    = "Functions answer with errors"
      severity = "ERROR"
      means    = "More than 5 answers of 5xx within an hour, 503 apart: busy (503) is what the loser of a claim says, and its scheduler asks again."
      filter = join(" AND ", [
        "metric.type=\"run.googleapis.com/request_count\"", "resource.type=\"cloud_run_revision\"",
        "resource.labels.service_name=${local.services_named}",
        "metric.labels.response_code_class=\"5xx\"", "metric.labels.response_code!=\"503\"",
      ])
      window_s = 3600
      by       = []
      above    = 5
      missing  = "INACTIVE"
    }
    refusals = {
      title    = "Ticks refuse to decide"
      severity = "WARNING"
      means    = "A book's ticks ran, and each of the last ${local.in_a_row} refused to take new risk, for a reason that the ticks name: no model that fits, bars that cannot be believed, a tick that came too late."
      filter   = local.user_metric["refusals"]
      window_s = local.in_a_while.window_s
      by       = ["book"]
      above    = local.in_a_while.above
      missing  = "INACTIVE"
    }
    overrun = {
      title    = "A tick nears its time-out"
      severity = "WARNING"
      means    = "A tick or a guard took ${local.overrun_s} s or more of the ${var.lease_s} s that it has. What is cut off is carried on by the next one, but a stop may be late."
      filter   = local.user_metric["overruns"]
      window_s = 3600
      by       = []
      above    = 0
      missing  = "INACTIVE"
    }
    source = {
      title    = "A data source keeps failing"
      severity = "WARNING"
      means    = "One source failed ${local.in_a_row} times within ${local.in_a_while.window_s / 3600} hours. With another source for the same series nothing is lost; without, the ticks are more careful or refuse."
      filter   = local.user_metric["sources"]
      window_s = local.in_a_while.window_s
      by       = ["series", "source"]
      above    = local.in_a_while.above
      missing  = "INACTIVE"
    }
    dead_letters = {
      title    = "Messages nobody could deliver"
      severity = "WARNING"
      means    = "The function alert refused a message so often that Pub/Sub set it aside. Whatever it told of, you have not been told by Discord."
      filter = join(" AND ", [
        "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\"",
        "resource.type=\"pubsub_subscription\"", "resource.labels.subscription_id=\"${google_pubsub_subscription.dead.name}\"",
      ])
      window_s = 300
      aligner  = "ALIGN_MAX" # it is a gauge
      by       = []
      above    = 0
      missing  = "INACTIVE"
      repeat_s = 86400
    }
  }
  told_at = {
    all       = local.policies
    heartbeat = { heartbeat = local.policies.heartbeat }
    none      = {}
  }
}

resource "google_monitoring_alert_policy" "this" {
  for_each              = local.told_at[var.alert_policies]
  display_name          = "${local.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = merge(local.labels, { policy = each.key })

  conditions {
    display_name = each.value.title
    condition_threshold {
      filter                  = each.value.filter
      comparison              = can(each.value.below) ? "COMPARISON_LT" : "COMPARISON_GT"
      threshold_value         = try(each.value.below, each.value.above)
      duration                = "${try(each.value.holds_s, 60)}s"
      evaluation_missing_data = "EVALUATION_MISSING_DATA_${each.value.missing}"
      aggregations {
        alignment_period     = "${each.value.window_s}s"
        per_series_aligner   = try(each.value.aligner, "ALIGN_SUM")
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = [for label in each.value.by : "metric.label.${label}"]
      }
    }
  }

  alert_strategy {
    auto_close           = each.key == "heartbeat" ? "604800s" : "86400s"
    notification_prompts = each.key == "trouble" ? ["OPENED"] : ["OPENED", "CLOSED"] # only a person ends trouble
    dynamic "notification_channel_strategy" {
      for_each = try([each.value.repeat_s], [])
      content {
        notification_channel_names = [google_monitoring_notification_channel.email.name] # Discord tells an incident once
        renotify_interval          = "${notification_channel_strategy.value}s"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${local.name}: ${each.value.title}"
    content   = "${each.value.means}\n\nWhat to do: ${local.runbook[each.key]}"
    dynamic "links" {
      for_each = startswith(local.docs, "https://") ? [local.runbook[each.key]] : []
      content {
        display_name = "Runbook"
        url          = links.value
      }
    }
  }
  depends_on = [google_logging_metric.counter]
}

locals {
  channels = [google_monitoring_notification_channel.email.name, google_monitoring_notification_channel.incidents.name]
  runbook  = { for key, policy in local.policies : key => "${local.docs}/runbooks.md#${lower(replace(policy.title, " ", "-"))}" }
}

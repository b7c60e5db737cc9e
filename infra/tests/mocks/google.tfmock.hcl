# What Google Cloud would answer. Each account and each function gets a name of its own, so that a test sees who is who.

mock_data "google_project" {
  defaults = {
    number = "123456789012"
  }
}

mock_resource "google_service_account" {
  defaults = {
    id     = "projects/test-project/serviceAccounts/other@test-project.iam.gserviceaccount.com"
    email  = "other@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:other@test-project.iam.gserviceaccount.com"
    name   = "projects/test-project/serviceAccounts/other@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.function["tick"]
  values = {
    id     = "projects/test-project/serviceAccounts/tick@test-project.iam.gserviceaccount.com"
    email  = "tick@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:tick@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.function["guard"]
  values = {
    id     = "projects/test-project/serviceAccounts/guard@test-project.iam.gserviceaccount.com"
    email  = "guard@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:guard@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.function["train"]
  values = {
    id     = "projects/test-project/serviceAccounts/train@test-project.iam.gserviceaccount.com"
    email  = "train@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:train@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.function["cleanup"]
  values = {
    id     = "projects/test-project/serviceAccounts/cleanup@test-project.iam.gserviceaccount.com"
    email  = "cleanup@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:cleanup@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.function["alert"]
  values = {
    id     = "projects/test-project/serviceAccounts/alert@test-project.iam.gserviceaccount.com"
    email  = "alert@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:alert@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.function["status"]
  values = {
    id     = "projects/test-project/serviceAccounts/status@test-project.iam.gserviceaccount.com"
    email  = "status@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:status@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.scheduler
  values = {
    id     = "projects/test-project/serviceAccounts/scheduler@test-project.iam.gserviceaccount.com"
    email  = "scheduler@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:scheduler@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.delivery
  values = {
    id     = "projects/test-project/serviceAccounts/delivery@test-project.iam.gserviceaccount.com"
    email  = "delivery@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:delivery@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.builder
  values = {
    id     = "projects/test-project/serviceAccounts/builder@test-project.iam.gserviceaccount.com"
    email  = "builder@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:builder@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_cloudfunctions2_function.this["tick"]
  values = {
    service_config = {
      uri = "https://tick.invalid"
    }
  }
}

override_resource {
  target = google_cloudfunctions2_function.this["guard"]
  values = {
    service_config = {
      uri = "https://guard.invalid"
    }
  }
}

override_resource {
  target = google_cloudfunctions2_function.this["train"]
  values = {
    service_config = {
      uri = "https://train.invalid"
    }
  }
}

override_resource {
  target = google_cloudfunctions2_function.this["cleanup"]
  values = {
    service_config = {
      uri = "https://cleanup.invalid"
    }
  }
}

override_resource {
  target = google_cloudfunctions2_function.this["alert"]
  values = {
    service_config = {
      uri = "https://alert.invalid"
    }
  }
}

override_resource {
  target = google_cloudfunctions2_function.this["status"]
  values = {
    service_config = {
      uri = "https://status.invalid"
    }
  }
}

override_resource {
  target = google_cloudfunctions2_function.second["tick"]
  values = {
    service_config = {
      uri = "https://tick-second.invalid"
    }
  }
}

override_resource {
  target = google_cloudfunctions2_function.second["guard"]
  values = {
    service_config = {
      uri = "https://guard-second.invalid"
    }
  }
}

override_resource {
  target = google_pubsub_topic.incidents
  values = {
    id = "projects/test-project/topics/incidents"
  }
}

override_resource {
  target = google_pubsub_topic.dead
  values = {
    id = "projects/test-project/topics/dead"
  }
}

override_resource {
  target = google_artifact_registry_repository.this
  values = {
    id   = "projects/test-project/locations/asia-northeast1/repositories/hourhand-paper"
    name = "hourhand-paper"
  }
}

override_resource {
  target = google_artifact_registry_repository.second[0]
  values = {
    id   = "projects/test-project/locations/asia-northeast2/repositories/hourhand-paper"
    name = "hourhand-paper"
  }
}

# The functions: how large they are, how long they run, what they are built from, and what they are told.

mock_provider "google" {
  source          = "./tests/mocks"
  override_during = plan
}
mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id  = "test-project"
  environment = "paper"
  alert_email = "you@example.com"
  release     = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "paper" {
  command = plan

  assert {
    condition     = toset(keys(google_cloudfunctions2_function.this)) == toset(["tick", "guard", "train", "cleanup", "alert", "status"])
    error_message = "There are six functions."
  }
  assert {
    condition     = length(google_cloudfunctions2_function.second) == 0 && length(google_compute_network.egress) == 0
    error_message = "Without being asked, there is no second region and no network."
  }
  assert {
    condition = alltrue([for name, function in google_cloudfunctions2_function.this :
      function.name == "hourhand-paper-${name}"
      && function.location == "asia-northeast1"
      && function.build_config[0].runtime == "python313"
      && function.build_config[0].entry_point == name
      && function.service_config[0].service_account_email == "${name}@test-project.iam.gserviceaccount.com"
      && function.build_config[0].service_account == google_service_account.builder.id
    ])
    error_message = "Each function is its own entry point, under its own account; all are built by the builder."
  }
  assert {
    condition = { for name, function in google_cloudfunctions2_function.this : name => function.service_config[0].available_memory } == {
      tick = "512Mi", guard = "256Mi", train = "2Gi", cleanup = "512Mi", alert = "256Mi", status = "256Mi"
    }
    error_message = "Memory is what docs/cost.md reckons with."
  }
  assert {
    condition = alltrue([for function in google_cloudfunctions2_function.this :
      function.service_config[0].min_instance_count == 0
      && function.service_config[0].max_instance_count <= 3
      && function.service_config[0].max_instance_request_concurrency == 1
      && function.service_config[0].all_traffic_on_latest_revision
    ])
    error_message = "Nothing idles, nothing multiplies, one request at a time, and the newest revision serves."
  }
  assert {
    condition     = alltrue([for name in ["tick", "guard"] : google_cloudfunctions2_function.this[name].service_config[0].timeout_seconds <= 120])
    error_message = "tick and guard are gone before their lease of 120 s ends."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["alert"].service_config[0].timeout_seconds <= 60
    error_message = "alert is gone before its lease of 60 s ends."
  }
  assert {
    condition     = [for name, function in google_cloudfunctions2_function.this : name if function.service_config[0].ingress_settings != "ALLOW_INTERNAL_ONLY"] == ["status"]
    error_message = "Only status, which the smoke test calls, can be reached from outside."
  }
  assert {
    condition = alltrue([for function in google_cloudfunctions2_function.this : function.service_config[0].environment_variables == tomap({
      GOOGLE_CLOUD_PROJECT             = "test-project"
      HOURHAND_CONFIG                  = "config/paper.toml"
      HOURHAND_RELEASE                 = var.release
      HOURHAND__ALERTS__CHANNEL        = "discord"
      HOURHAND__DEPLOYMENT__COMMIT     = "release 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
      HOURHAND__DEPLOYMENT__NAME       = "hourhand-paper"
      HOURHAND__DEPLOYMENT__PROJECT    = "test-project"
      HOURHAND__DEPLOYMENT__REGIONS    = "[\"asia-northeast1\"]"
      HOURHAND__DEPLOYMENT__SOURCES    = "test-project-hourhand-paper-sources"
      HOURHAND__LOG__PROJECT           = "test-project"
      HOURHAND__MODELS__BACKEND        = "gcs"
      HOURHAND__MODELS__BUCKET         = "test-project-hourhand-paper-models"
      HOURHAND__MODELS__HISTORY_BUCKET = "test-project-hourhand-paper-history"
      HOURHAND__SECRETS__BACKEND       = "gcp"
      HOURHAND__SECRETS__PREFIX        = "hourhand-paper-"
      HOURHAND__STATE__BACKEND         = "firestore"
      HOURHAND__STATE__DATABASE        = "hourhand-paper"
      HOURHAND__STATE__PROJECT         = "test-project"
      HOURHAND__TICK__LEASE_S          = "120"
    })])
    error_message = "The functions are told where everything is, and nothing secret."
  }
  assert {
    condition = { for name, function in google_cloudfunctions2_function.this : name => one(function.build_config[0].source[0].storage_source[*].object) } == {
      for name in ["tick", "guard", "train", "cleanup", "alert", "status"] : name => "${var.release}/${name == "train" ? "train" : "serve"}.zip"
    }
    error_message = "Going back to a release builds from its archives; only train has the long list of requirements."
  }
  assert {
    condition     = length(google_storage_bucket_object.source) == 0
    error_message = "Going back to a release uploads nothing."
  }
  assert {
    condition = length(setsubtract(
      [for file in fileset("../core", "**") : "core/${file}" if !strcontains(file, "__pycache__")], module.source.files
    )) == 0 && length(module.source.files) > 100
    error_message = "Everything in core/ is packed; a file of a new kind has to be named in source/main.tf."
  }
  assert {
    condition     = !anytrue([for text in module.source.requirements : strcontains(text, "-r ")]) && strcontains(module.source.requirements.train, module.source.requirements.serve)
    error_message = "A requirements.txt stands alone, and training needs what serving needs."
  }
}

output "release" {
  description = "The SHA-256 of the sources that are deployed; -var release=… goes back to them."
  value       = local.release
}

output "functions" {
  description = "Where each function answers, to who may call it."
  value       = { for name, function in google_cloudfunctions2_function.this : name => function.service_config[0].uri }
}

output "functions_second" {
  description = "The same in the second region."
  value       = { for name, function in google_cloudfunctions2_function.second : name => function.service_config[0].uri }
}

output "database" {
  description = "The Firestore database: HOURHAND__STATE__DATABASE."
  value       = google_firestore_database.this.name
}

output "buckets" {
  description = "Buckets by what they hold."
  value = {
    models  = google_storage_bucket.models.name
    history = google_storage_bucket.history.name
    sources = google_storage_bucket.sources.name
  }
}

output "secrets" {
  description = "Secrets that wait for a value: gcloud secrets versions add NAME --data-file=-"
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.secret_id }
}

output "addresses" {
  description = "From where orders come, by region, for the venue's list of allowed addresses; with static_egress only."
  value       = { for region, address in google_compute_address.egress : region => address.address }
}

output "release" {
  description = "The SHA-256 of the source that is deployed; -var release=… goes back to it."
  value       = local.release
}

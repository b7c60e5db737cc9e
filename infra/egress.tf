# A fixed address for what talks to the venue with keys, if the venue has a list of allowed ones (var.static_egress): the
# functions' traffic leaves through a network of their own, and Cloud NAT gives it the address. Google's own services are
# reached directly (Private Google Access). One address for each region.

locals {
  fixed          = var.static_egress ? local.trading : []
  egress_regions = { for index, region in local.regions : region => "10.100.${index}.0/24" if var.static_egress }
}

resource "google_compute_network" "egress" {
  count                   = var.static_egress ? 1 : 0
  name                    = local.name
  auto_create_subnetworks = false
  depends_on              = [google_project_service.this]
}

resource "google_compute_subnetwork" "egress" {
  for_each                 = local.egress_regions
  name                     = local.name
  region                   = each.key
  network                  = google_compute_network.egress[0].id
  ip_cidr_range            = each.value
  private_ip_google_access = true
}

resource "google_compute_address" "egress" {
  for_each   = local.egress_regions
  name       = "${local.name}-egress"
  region     = each.key
  depends_on = [google_project_service.this]
}

resource "google_compute_router" "egress" {
  for_each = local.egress_regions
  name     = local.name
  region   = each.key
  network  = google_compute_network.egress[0].id
}

resource "google_compute_router_nat" "egress" {
  for_each                           = local.egress_regions
  name                               = local.name
  region                             = each.key
  router                             = google_compute_router.egress[each.key].name
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = [google_compute_address.egress[each.key].self_link]
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.egress[each.key].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

"""What operators look at, as code: `make dashboards` writes Grafana's dashboards and the objectives' rules from it."""

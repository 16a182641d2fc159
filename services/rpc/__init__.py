"""What every gRPC server here needs, whatever it serves: errors on the wire, a guard around calls, counters, a port."""

"""What every gRPC server here needs, whatever it serves: errors on the wire, one interceptor, counters, a port."""

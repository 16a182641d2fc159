"""What every gRPC server here needs, whatever it serves: errors on the wire, a guard around every call, counters, a port."""

"""How the service is seen from outside: metrics, the log, traces. The books know nothing of it."""

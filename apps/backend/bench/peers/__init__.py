"""The same API by other means. Each is served by its own process, from `build/peers`."""

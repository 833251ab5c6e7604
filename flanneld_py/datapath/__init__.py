"""The udp backend's packet path. Headers and forwarding decisions are pure; devices and sockets are not."""

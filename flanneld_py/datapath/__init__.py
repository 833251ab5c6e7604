"""The udp backend's packet path: headers and decisions are pure, devices and sockets are not."""

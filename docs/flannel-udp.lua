-- Wireshark and tshark: the packets inside of flannel's udp backend.
--
-- A datagram of that backend is an IP packet right behind the UDP header, nothing else: no header of its own,
-- so what is inside is known by the version in its first four bits.
--
--     tshark -X lua_script:flannel-udp.lua -r lab.pcapng
--     wireshark -X lua_script:flannel-udp.lua -k -i -
--
-- Another port than 8285: -o flannel.port:9999, or Preferences, Protocols, FLANNEL.

local flannel = Proto("flannel", "flannel's udp backend")
local version = ProtoField.uint8("flannel.version", "Version of IP inside", base.DEC, nil, 0xf0)
flannel.fields = { version }
flannel.prefs.port = Pref.uint("UDP port", 8285, "Backend.Port of flannel's configuration")

local inside = { [4] = Dissector.get("ip"), [6] = Dissector.get("ipv6") }

function flannel.dissector(buffer, packet, tree)
    if buffer:len() == 0 then
        return 0
    end
    local found = inside[math.floor(buffer(0, 1):uint() / 16)]
    if found == nil then
        return 0
    end
    local branch = tree:add(flannel, buffer(0, 0))
    branch:add(version, buffer(0, 1))
    return found:call(buffer, packet, tree)
end

local ports = DissectorTable.get("udp.port")
local port = flannel.prefs.port

function flannel.prefs_changed()
    if port ~= flannel.prefs.port then
        ports:remove(port, flannel)
        port = flannel.prefs.port
        ports:add(port, flannel)
    end
end

ports:add(port, flannel)

/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The udp backend's fast path: programs that carry packets between the TUN device and the underlay.
 *
 * The wire format is flannel's: one UDP datagram contains exactly one inner IPv4 packet. Whatever a program
 * cannot carry, or is not sure about, it passes on unchanged (TCX_NEXT); the daemon then gets it, as if there
 * were no program. Spoofed packets are dropped here, so that a flood of them costs little. Every drop is
 * counted: only refuse() returns TCX_DROP, and it requires a reason.
 *
 * forward.py makes the same decisions for the daemon's own loops; layouts.py packs the structures below.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define htons(x) ((__u16)__builtin_bswap16(x))
#define ntohs(x) ((__u16)__builtin_bswap16(x))

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "htons and ntohs are for little-endian machines"
#endif

/* enum tcx_action_base of linux/bpf.h; headers before Linux 6.6 lack it. */
#define TCX_NEXT -1
#define TCX_PASS 0
#define TCX_DROP 2

/* From <sys/socket.h>, which is not a kernel header. */
#define AF_INET 2

/* Helpers, by number (enum bpf_func_id of linux/bpf.h). The kernel provides fib_lookup to GPL-compatible
 * programs only. */
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u32 (*bpf_get_prandom_u32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static long (*bpf_skb_store_bytes)(struct __sk_buff *skb, __u32 offset, const void *from, __u32 len,
				   __u64 flags) = (void *)BPF_FUNC_skb_store_bytes;
static long (*bpf_skb_load_bytes)(const struct __sk_buff *skb, __u32 offset, void *to,
				  __u32 len) = (void *)BPF_FUNC_skb_load_bytes;
static long (*bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*bpf_skb_pull_data)(struct __sk_buff *skb, __u32 len) = (void *)BPF_FUNC_skb_pull_data;
static long (*bpf_skb_change_head)(struct __sk_buff *skb, __u32 len,
				   __u64 flags) = (void *)BPF_FUNC_skb_change_head;
static long (*bpf_skb_adjust_room)(struct __sk_buff *skb, __s32 len_diff, __u32 mode,
				   __u64 flags) = (void *)BPF_FUNC_skb_adjust_room;
static __u64 (*bpf_ktime_get_boot_ns)(void) = (void *)BPF_FUNC_ktime_get_boot_ns;
static __u64 (*bpf_jiffies64)(void) = (void *)BPF_FUNC_jiffies64;
static long (*bpf_redirect_neigh)(__u32 ifindex, void *params, int plen,
				  __u64 flags) = (void *)BPF_FUNC_redirect_neigh;
static long (*bpf_fib_lookup)(void *skb, struct bpf_fib_lookup *params, int plen,
			      __u32 flags) = (void *)BPF_FUNC_fib_lookup;
static struct bpf_sock *(*bpf_sk_lookup_udp)(void *skb, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns,
					     __u64 flags) = (void *)BPF_FUNC_sk_lookup_udp;
static struct bpf_sock *(*bpf_sk_lookup_tcp)(void *skb, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns,
					     __u64 flags) = (void *)BPF_FUNC_sk_lookup_tcp;
static long (*bpf_sk_assign)(void *skb, struct bpf_sock *socket, __u64 flags) = (void *)BPF_FUNC_sk_assign;
static long (*bpf_sk_release)(struct bpf_sock *socket) = (void *)BPF_FUNC_sk_release;
static long (*bpf_csum_level)(struct __sk_buff *skb, __u64 level) = (void *)BPF_FUNC_csum_level;
static __s64 (*bpf_csum_update)(struct __sk_buff *skb, __u32 sum) = (void *)BPF_FUNC_csum_update;

/* Addresses and ports are in network byte order, times in nanoseconds of CLOCK_BOOTTIME. */

struct mandate {
	__u64 until;		/* expiry of the lease; 0 if there is none */
	__u64 looked;		/* tick (jiffies) of the last check of `until`; internal */
	__u32 address;		/* our address on the underlay */
	__u32 subnet;
	__u32 netmask;
	__u32 tun;		/* interface indices */
	__u32 underlay;
	__u16 port;
	__u16 check_source;
	__u16 inlet;		/* port of the inlet; 0 if there is none */
	__u16 unused[3];
};

struct prefix {
	__u32 length;
	__u32 address;
};

#define FAST 1

struct peer {
	__u32 node;
	__u16 mtu;		/* inner MTU of the path to it, in bytes */
	__u16 flags;
};

/* State of one node on one CPU. */
struct flow {
	__u64 sent_packets, sent_bytes, received_packets, received_bytes;
	__u64 looked;		/* tick (jiffies) at which `link` was looked up; both internal */
	struct ethhdr link;
};

enum drop { SPOOFED, NOT_OURS, MANY_HOSTS, NO_LEASE, STRAY, WRAPPING, UNWRAPPING, DROPS };

struct map {
	__u32 type, key_size, value_size, max_entries, flags;
};

struct map SECTION("maps") mandates = { BPF_MAP_TYPE_ARRAY, 4, sizeof(struct mandate), 1, 0 };
struct map SECTION("maps") peers = { BPF_MAP_TYPE_LPM_TRIE, sizeof(struct prefix), sizeof(struct peer),
				     65536, BPF_F_NO_PREALLOC };
struct map SECTION("maps") flows = { BPF_MAP_TYPE_PERCPU_HASH, 4, sizeof(struct flow), 65536,
				     BPF_F_NO_PREALLOC };
struct map SECTION("maps") drops = { BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, DROPS, 0 };

struct outer {
	struct iphdr ip;
	struct udphdr udp;
};

#define OUTER ((int)sizeof(struct outer))

/* Maximum length in bytes of a packet without GSO that can be extended. The kernel extends packets up to
 * BPF_SKB_MAX_LEN (net/core/filter.c), which is four pages less a struct skb_shared_info, at least 15616
 * bytes; our headers and a vxlan-gpe header must fit as well. */
#define SINGLE (15 * 1024)

struct frame {
	struct ethhdr link;
	struct outer outer;
} __attribute__((packed));

/* draft-ietf-nvo3-vxlan-gpe, section 3: flags (next protocol present, VNI present), two reserved bytes, the
 * next protocol (1: IPv4), a VNI (0), a reserved byte. */
struct gpe {
	__u8 flags, reserved[2], next;
	__u32 vni;
};

#define GPE_IPV4 { .flags = 0x0C, .next = 1 }
#define GPE ((int)sizeof(struct gpe))

/* Marks, for the program at the inlet, packets that the program at the underlay sent there. No packet from a
 * network carries it: tc_index is kernel-internal, and 0 on arrival. */
#define OURS 8285

INLINE struct mandate *in_force(void)
{
	__u32 first = 0;
	struct mandate *mandate = bpf_map_lookup_elem(&mandates, &first);
	__u64 tick = bpf_jiffies64();

	if (!mandate || !mandate->until)
		return 0;
	/* Reading the clock takes longer than the rest of this program, so it is read once per tick. */
	if (mandate->looked != tick) {
		if (bpf_ktime_get_boot_ns() >= mandate->until)
			return 0;
		mandate->looked = tick;
	}
	return mandate;
}

INLINE struct peer *holder(__u32 address)
{
	struct prefix prefix = { 32, address };

	return bpf_map_lookup_elem(&peers, &prefix);
}

INLINE __u32 packets(const struct __sk_buff *skb)
{
	return skb->gso_segs > 1 ? skb->gso_segs : 1;
}

INLINE int refuse(const struct __sk_buff *skb, __u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &reason);

	if (count)
		*count += packets(skb);
	return TCX_DROP;
}

INLINE __u32 folded(__u64 sum)
{
	sum = (sum & 0xFFFFFFFF) + (sum >> 32);
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (sum & 0xFFFF) + (sum >> 16);
}

/* Whether the checksum of a header without options is correct (RFC 791). */
INLINE int sound(const struct iphdr *ip)
{
	const __u32 *word = (const void *)ip;

	return folded((__u64)word[0] + word[1] + word[2] + word[3] + word[4]) == 0xFFFF;
}

/* Whether the kernel already knows that a datagram's checksum is correct, without reading all of it. Programs
 * cannot read skb->ip_summed (linux/skbuff.h), so it is inferred:
 * - CHECKSUM_UNNECESSARY, verified by the card or by GRO, is the only one with a checksum level.
 * - CHECKSUM_PARTIAL, left to a device and never on a wire, has the pseudo-header's sum in the checksum
 *   field. A packet from a wire has that value there as rarely as a wrong checksum appears correct: once
 *   in 65536.
 * - CHECKSUM_COMPLETE is the only one with a sum that can be updated: that of everything after the Ethernet
 *   header.
 * What remains is CHECKSUM_NONE. */
INLINE int verified(struct __sk_buff *skb, const struct iphdr *ip, const struct udphdr *udp)
{
	__u64 pseudo = (__u64)ip->saddr + ip->daddr + htons(IPPROTO_UDP) + udp->len;
	__s64 whole;

	if (bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0 || udp->check == folded(pseudo))
		return 1;
	whole = bpf_csum_update(skb, 0);
	/* A valid IPv4 header adds 0. */
	return whole >= 0 && folded(whole + pseudo) == 0xFFFF;
}

/* Whether an address is not a single host's: our subnet's broadcast, the limited broadcast, or multicast
 * (224.0.0.0/4). */
INLINE int of_many_hosts(__u32 address, const struct mandate *mandate)
{
	return (address & 0xF0) == 0xE0 || address == 0xFFFFFFFF || address == (mandate->subnet | ~mandate->netmask);
}

/* Decrement the TTL and update the checksum (RFC 1624, equation 3). */
INLINE void decrement_ttl(struct iphdr *ip)
{
	__u32 check = ip->check + htons(0x0100);

	ip->check = check + (check >= 0xFFFF);
	ip->ttl -= 1;
}

/* Whether this many bytes can be read; they may have to be pulled into the linear part first. */
INLINE int reaches(struct __sk_buff *skb, __u32 length)
{
	return (void *)(long)skb->data + length <= (void *)(long)skb->data_end ||
	       bpf_skb_pull_data(skb, length) == 0;
}

enum way { NO_WAY, FIND, KNOWN };

/* How to send to a node over the underlay. Route and neighbour are looked up once per tick.
 *
 * The packet that triggers the lookup takes the kernel's own path (FIND): this keeps the neighbour entry in
 * use, and waits for neighbour resolution if necessary. Without a route the daemon gets the packet, so that
 * its send fails with the reason; the kernel, asked to find a path through this particular interface, would
 * assume that the node is on-link. */
INLINE enum way way_to(struct __sk_buff *skb, const struct mandate *mandate, struct flow *flow, __u32 node)
{
	__u64 tick = bpf_jiffies64();

	/* Policy routing may select another route for a marked packet. */
	if (!flow || skb->mark)
		return FIND;
	if (flow->looked == tick)
		return KNOWN;

	struct bpf_fib_lookup way = {
		.family = AF_INET, .l4_protocol = IPPROTO_UDP, .ifindex = mandate->underlay,
		.ipv4_src = mandate->address, .ipv4_dst = node,
	};

	switch (bpf_fib_lookup(skb, &way, sizeof(way), BPF_FIB_LOOKUP_OUTPUT)) {
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return NO_WAY;
	case BPF_FIB_LKUP_RET_SUCCESS:
		if (way.ifindex != mandate->underlay)
			break;
		__builtin_memcpy(flow->link.h_dest, way.dmac, ETH_ALEN);
		__builtin_memcpy(flow->link.h_source, way.smac, ETH_ALEN);
		flow->link.h_proto = htons(ETH_P_IP);
		flow->looked = tick;
	}
	return FIND;
}

SECTION("tcx/egress") int to_network(struct __sk_buff *skb)
{
	struct mandate *mandate = in_force();

	if (!mandate || skb->protocol != htons(ETH_P_IP))
		return TCX_NEXT;
	if (!reaches(skb, sizeof(struct iphdr)))
		return TCX_NEXT;

	struct iphdr *ip = (void *)(long)skb->data;

	/* The verifier requires this check. */
	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->ihl < 5 || ip->ttl <= 1)
		return TCX_NEXT;

	__u32 length = skb->len, gso_size = skb->gso_size, count = packets(skb), longest = length;

	if (ip->version != 4 || ntohs(ip->tot_len) != length || length + OUTER > 0xFFFF ||
	    (!gso_size && length > SINGLE))
		return TCX_NEXT;

	struct peer *peer = holder(ip->daddr);

	if (!peer || !(peer->flags & FAST))
		return TCX_NEXT;
	if (gso_size) {
		__u8 doff;

		/* Segmentation offload of inner UDP does not survive the encapsulation. */
		if (ip->protocol != IPPROTO_TCP || bpf_skb_load_bytes(skb, ip->ihl * 4 + 12, &doff, 1))
			return TCX_NEXT;
		/* skb_load_bytes does not invalidate the packet pointers. */
		longest = ip->ihl * 4 + (doff >> 4) * 4 + gso_size;
	}
	if (longest > peer->mtu)
		return TCX_NEXT;

	struct outer outer = {
		.ip = {
			.version = 4, .ihl = 5, .tot_len = htons(length + OUTER),
			.id = bpf_get_prandom_u32(), .ttl = 64, .protocol = IPPROTO_UDP,
			.saddr = mandate->address, .daddr = peer->node,
		},
		.udp = { .source = mandate->port, .dest = mandate->port,
			 .len = htons(length + sizeof(struct udphdr)) },
	};
	__u16 *word = (void *)&outer;
	__u32 sum = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < 10; i++)
		sum += word[i];
	sum = (sum & 0xFFFF) + (sum >> 16);
	outer.ip.check = ~(sum + (sum >> 16));

	struct flow *flow = bpf_map_lookup_elem(&flows, &outer.ip.daddr);
	enum way way = way_to(skb, mandate, flow, outer.ip.daddr);

	if (way == NO_WAY)
		return TCX_NEXT;
	/* Refused (EALREADY) for a packet that arrived through the fast path, is forwarded to a third
	 * machine, and still carries the encapsulation mark. The packet is unchanged. */
	if (bpf_skb_adjust_room(skb, OUTER, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
				BPF_F_ADJ_ROOM_ENCAP_L4_UDP))
		return TCX_NEXT;
	ip = (void *)(long)skb->data + OUTER;
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return refuse(skb, WRAPPING);
	decrement_ttl(ip);
	if (bpf_skb_change_head(skb, ETH_HLEN, 0))
		return refuse(skb, WRAPPING);

	struct frame *frame = (void *)(long)skb->data;

	if ((void *)(frame + 1) > (void *)(long)skb->data_end)
		return refuse(skb, WRAPPING);
	frame->outer = outer;
	if (flow) {
		flow->sent_packets += count;
		flow->sent_bytes += length;
	}
	if (!flow || way == FIND)
		return bpf_redirect_neigh(mandate->underlay, 0, 0, 0);
	frame->link = flow->link;
	return bpf_redirect(mandate->underlay, 0);
}

/* Whether the inner TCP packet belongs to a connected socket of this machine. A listening socket does not
 * count: bound to any address, it is found whatever the packet's destination. A packet for a connected socket
 * is not sent out through another device. */
INLINE int ends_here(struct __sk_buff *skb, const struct iphdr *inner)
{
	struct bpf_sock_tuple tuple = { .ipv4 = { .saddr = inner->saddr, .daddr = inner->daddr } };
	struct bpf_sock *socket;
	int connected;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + OUTER + inner->ihl * 4, &tuple.ipv4.sport, 4))
		return 0;
	socket = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	connected = socket->state != BPF_TCP_LISTEN;
	bpf_sk_release(socket);
	return connected;
}

/* Send a packet to the inlet, our vxlan device: a packet leaves it without the encapsulation mark, so
 * that a bridge does not segment a super-packet (ADR 9). Returns TCX_NEXT if the packet is unchanged. */
INLINE int to_inlet(struct __sk_buff *skb, __u16 port)
{
	struct bpf_sock_tuple tuple = { .ipv4 = { .dport = port } };
	struct bpf_sock *inlet;
	struct {
		struct outer outer;
		struct gpe gpe;
	} head = { .gpe = GPE_IPV4 };
	long refused;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &head.outer, OUTER))
		return TCX_NEXT;
	inlet = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!inlet)
		return TCX_NEXT;
	if (bpf_skb_adjust_room(skb, GPE, BPF_ADJ_ROOM_NET, BPF_F_ADJ_ROOM_FIXED_GSO)) {
		bpf_sk_release(inlet);
		return TCX_NEXT;
	}

	__u16 length = htons(ntohs(head.outer.ip.tot_len) + GPE);
	__u32 sum = (__u16)~head.outer.ip.check + (__u16)~head.outer.ip.tot_len + length;

	/* Update the checksum (RFC 1624, equation 3). */
	sum = (sum & 0xFFFF) + (sum >> 16);
	head.outer.ip.check = ~(sum + (sum >> 16));
	head.outer.ip.tot_len = length;
	/* With NAT, nf_nat_ipv4_local_in compares the packet's source port with that of the socket's peer,
	 * which is 0 for an unconnected socket, and detaches the socket if they differ. */
	head.outer.udp.source = 0;
	head.outer.udp.len = htons(ntohs(length) - sizeof(struct iphdr));
	head.outer.udp.check = 0;
	/* The destination port stays: a firewall still sees it as received. */
	refused = bpf_skb_store_bytes(skb, ETH_HLEN, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM) ||
		  bpf_sk_assign(skb, inlet, 0);
	bpf_sk_release(inlet);
	if (refused)
		return refuse(skb, UNWRAPPING);
	skb->tc_classid = OURS; /* TCX_PASS copies it to tc_index */
	return TCX_PASS;
}

SECTION("tcx/inlet") int from_inlet(struct __sk_buff *skb)
{
	struct mandate *mandate = in_force();

	if (skb->tc_index != OURS)
		return refuse(skb, STRAY);
	if (!mandate)
		return refuse(skb, NO_LEASE);
	skb->tc_index = 0;
	return bpf_redirect(mandate->tun, BPF_F_INGRESS);
}

SECTION("tcx/ingress") int from_network(struct __sk_buff *skb)
{
	struct mandate *mandate = in_force();

	/* A frame for another host or of a VLAN is not for us; the kernel handles it. */
	if (!mandate || skb->protocol != htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return TCX_NEXT;
	if (!reaches(skb, ETH_HLEN + OUTER + sizeof(struct iphdr)))
		return TCX_NEXT;

	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	struct iphdr *inner = (void *)(udp + 1);

	if ((void *)(inner + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;

	__u32 node = ip->saddr, length = skb->len - ETH_HLEN - OUTER;

	if (ip->protocol != IPPROTO_UDP || udp->dest != mandate->port ||
	    ip->daddr != mandate->address || ip->ihl != 5 || ip->version != 4 ||
	    (ip->frag_off & htons(0x3FFF)) || !sound(ip))
		return TCX_NEXT;
	/* In a train of datagrams received as one the outer length exceeds the inner: it is for the daemon. */
	if (inner->version != 4 || inner->ihl < 5 || inner->ihl * 4 > length ||
	    ntohs(inner->tot_len) != length || ntohs(ip->tot_len) != length + OUTER ||
	    ntohs(udp->len) != length + sizeof(struct udphdr))
		return TCX_NEXT;
	/* Programs send only TCP as super-packets, and without an outer checksum (RFC 768: 0). */
	if (skb->gso_size && (inner->protocol != IPPROTO_TCP || udp->check))
		return TCX_NEXT;

	struct peer *peer = holder(inner->saddr);

	if (mandate->check_source) {
		if (!peer || peer->node != node)
			return refuse(skb, SPOOFED);
		if ((inner->daddr & mandate->netmask) != mandate->subnet)
			return refuse(skb, NOT_OURS);
	}
	if (of_many_hosts(inner->daddr, mandate))
		return refuse(skb, MANY_HOSTS);
	if (udp->check) {
		/* An outer checksum means that a daemon sent it, as a single packet. TCP segments go to our
		 * daemon, which joins them, so that the rest of the kernel handles them only once. A packet
		 * sent by a program, without this checksum, must not go to the daemon, whatever we know of
		 * the peer: its inner checksum may have been left to a device.
		 *
		 * An unverified checksum is for the daemon's socket to verify; a packet that is too long
		 * could not be extended below. */
		if (inner->protocol == IPPROTO_TCP || length > SINGLE || !verified(skb, ip, udp))
			return TCX_NEXT;
	}
	if (inner->ttl <= 1)
		return TCX_NEXT;

	int summed = udp->check != 0, super = skb->gso_size != 0, leaves = 0;

	/* All packets of a connection take the same path once it is established, so that they are not
	 * reordered. */
	if (inner->protocol == IPPROTO_TCP && mandate->inlet && length + OUTER + GPE <= 0xFFFF)
		leaves = !ends_here(skb, inner);
	decrement_ttl(inner);

	struct flow *flow = bpf_map_lookup_elem(&flows, &node);

	if (flow) {
		flow->received_packets += packets(skb);
		flow->received_bytes += length;
	}
	if (leaves) {
		int verdict = to_inlet(skb, mandate->inlet);

		if (verdict != TCX_NEXT)
			return verdict;
	}
	if (!summed) {
		if (bpf_skb_adjust_room(skb, -OUTER, BPF_ADJ_ROOM_MAC, super ? BPF_F_ADJ_ROOM_FIXED_GSO : 0))
			return refuse(skb, UNWRAPPING);
	} else {
		/* An outer UDP checksum that is still to be computed would be computed over the inner packet.
		 * The kernel discards it when the room of that header and 8 more bytes is removed; those 8
		 * bytes are then restored. */
		__u64 begin;

		if (bpf_skb_load_bytes(skb, ETH_HLEN + OUTER, &begin, 8) ||
		    bpf_skb_adjust_room(skb, -(OUTER + 8), BPF_ADJ_ROOM_MAC, 0) ||
		    bpf_skb_adjust_room(skb, 8, BPF_ADJ_ROOM_MAC, 0) ||
		    bpf_skb_store_bytes(skb, ETH_HLEN, &begin, 8, BPF_F_RECOMPUTE_CSUM))
			return refuse(skb, UNWRAPPING);
	}
	return bpf_redirect(mandate->tun, BPF_F_INGRESS);
}

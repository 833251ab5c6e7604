/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The udp backend's fast path: programs that carry packets between the TUN device and the underlay.
 *
 * The wire format is flannel's: one UDP datagram is one inner IPv4 packet, as it is. What a program cannot
 * carry, or is in doubt of, it leaves alone (TCX_NEXT): then it comes to the daemon, as if there were no
 * program. What is spoofed ends here, so that a flood of it costs little. Nothing ends uncounted: TCX_DROP
 * stands in refuse() alone, which wants a reason.
 *
 * forward.py decides the same for the daemon's own loops; the structures below are packed by layouts.py.
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

/* <sys/socket.h>, which is none of the kernel's. */
#define AF_INET 2

/* Helpers, by their number (enum bpf_func_id of linux/bpf.h). The kernel lends fib_lookup to programs under the
 * GPL only. */
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

/* Addresses and ports are in network byte order, times are nanoseconds of CLOCK_BOOTTIME. */

struct mandate {
	__u64 until;		/* the lease's end; 0 without one */
	__u64 looked;		/* the tick, in jiffies, at which it was before that; ours alone */
	__u32 address;		/* ours, on the underlay */
	__u32 subnet;
	__u32 netmask;
	__u32 tun;		/* interface indices */
	__u32 underlay;
	__u16 port;
	__u16 check_source;
	__u16 inlet;		/* the port of the inlet; 0 without one */
	__u16 unused[3];
};

struct prefix {
	__u32 length;
	__u32 address;
};

#define FAST 1

struct peer {
	__u32 node;
	__u16 mtu;		/* bytes that an inner packet may have on the way to it */
	__u16 flags;
};

/* Of a node, as one CPU has it. */
struct flow {
	__u64 sent_packets, sent_bytes, received_packets, received_bytes;
	__u64 looked;		/* the tick, in jiffies, at which `link` was the way to it; ours alone, as it is */
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

/* Bytes that a packet by itself, which is none of GSO, may have if it is to be made longer: the kernel makes
 * none longer than BPF_SKB_MAX_LEN (net/core/filter.c), four pages less a struct skb_shared_info. That is 15616
 * or more, and our headers and a vxlan-gpe header are to fit as well. */
#define SINGLE (15 * 1024)

struct frame {
	struct ethhdr link;
	struct outer outer;
} __attribute__((packed));

/* draft-ietf-nvo3-vxlan-gpe, section 3: flags (a next protocol, a VNI), two reserved bytes, the next protocol
 * (1: IPv4), a VNI (0), a reserved byte. */
struct gpe {
	__u8 flags, reserved[2], next;
	__u32 vni;
};

#define GPE_IPV4 { .flags = 0x0C, .next = 1 }
#define GPE ((int)sizeof(struct gpe))

/* By this the program at the inlet knows what the one at the underlay has sent there. Nothing from a network
 * has it: tc_index is the kernel's own, and 0. */
#define OURS 8285

INLINE struct mandate *in_force(void)
{
	__u32 first = 0;
	struct mandate *mandate = bpf_map_lookup_elem(&mandates, &first);
	__u64 tick = bpf_jiffies64();

	if (!mandate || !mandate->until)
		return 0;
	/* Reading the clock takes longer than all else in this program, so once a tick has to do. */
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

/* Whether the checksum of a header without options is right (RFC 791). */
INLINE int sound(const struct iphdr *ip)
{
	const __u32 *word = (const void *)ip;

	return folded((__u64)word[0] + word[1] + word[2] + word[3] + word[4]) == 0xFFFF;
}

/* Whether the kernel knows that a datagram's checksum is right, without a look at all of it. Of skb->ip_summed
 * (linux/skbuff.h) a program is not told, so it is found out:
 * - CHECKSUM_UNNECESSARY, verified by the card or by GRO, is the only one that has a level.
 * - CHECKSUM_PARTIAL, left to a device and never on a wire, has the pseudo header's sum in its place. What has
 *   been on a wire has that there by chance as rarely as a wrong checksum seems right: once in 65536.
 * - CHECKSUM_COMPLETE is the only one that has a sum to be updated: that of all that follows the Ethernet header.
 * Left is CHECKSUM_NONE. */
INLINE int verified(struct __sk_buff *skb, const struct iphdr *ip, const struct udphdr *udp)
{
	__u64 pseudo = (__u64)ip->saddr + ip->daddr + htons(IPPROTO_UDP) + udp->len;
	__s64 whole;

	if (bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0 || udp->check == folded(pseudo))
		return 1;
	whole = bpf_csum_update(skb, 0);
	/* A sound IPv4 header adds 0. */
	return whole >= 0 && folded(whole + pseudo) == 0xFFFF;
}

/* Whether an address is no single host's: our subnet's broadcast, everybody's, or multicast (224.0.0.0/4). */
INLINE int of_many_hosts(__u32 address, const struct mandate *mandate)
{
	return (address & 0xF0) == 0xE0 || address == 0xFFFFFFFF || address == (mandate->subnet | ~mandate->netmask);
}

/* One hop less, and the checksum patched (RFC 1624, equation 3). */
INLINE void decrement_ttl(struct iphdr *ip)
{
	__u32 check = ip->check + htons(0x0100);

	ip->check = check + (check >= 0xFFFF);
	ip->ttl -= 1;
}

/* Whether so many bytes are there to be read; they may have to be brought together first. */
INLINE int reaches(struct __sk_buff *skb, __u32 length)
{
	return (void *)(long)skb->data + length <= (void *)(long)skb->data_end ||
	       bpf_skb_pull_data(skb, length) == 0;
}

enum way { NO_WAY, FIND, KNOWN };

/* Which way a node is sent to by the underlay: route and neighbour the kernel is asked for once a tick.
 *
 * The packet that asks goes as the kernel finds (FIND): so the neighbour's entry is seen to be in use, and who
 * is not known yet is waited for. Where there is no route the daemon is told so when it sends; the kernel would
 * take the node to be on the link if it was to find a way by this very interface. */
INLINE enum way way_to(struct __sk_buff *skb, const struct mandate *mandate, struct flow *flow, __u32 node)
{
	__u64 tick = bpf_jiffies64();

	/* A mark may have a route of its own. */
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

	/* The verifier wants to see it. */
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

		/* Segments of inner UDP do not survive the encapsulation. */
		if (ip->protocol != IPPROTO_TCP || bpf_skb_load_bytes(skb, ip->ihl * 4 + 12, &doff, 1))
			return TCX_NEXT;
		/* skb_load_bytes leaves the pointers as they are. */
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
	/* Refused (EALREADY) for what has come by the fast path itself, goes on to a third machine, and is still
	 * marked as encapsulated. The packet is as it was. */
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

/* Whether the inner packet, of TCP, is for a socket of this machine: one that has this peer, for a socket that
 * listens at any address is found whoever the packet is for. What such a socket gets leaves by no device. */
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

/* Send a packet to the inlet, a vxlan device of ours: what comes out there is no longer marked as encapsulated,
 * so that a bridge does not cut a super-packet up (ADR 9). TCX_NEXT if it is as it was. */
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

	/* RFC 1624, equation 3. */
	sum = (sum & 0xFFFF) + (sum >> 16);
	head.outer.ip.check = ~(sum + (sum >> 16));
	head.outer.ip.tot_len = length;
	/* Where there is NAT, nf_nat_ipv4_local_in compares the port of the packet's source with that of the
	 * socket's peer, which is 0 for one without, and takes the socket away if they differ. */
	head.outer.udp.source = 0;
	head.outer.udp.len = htons(ntohs(length) - sizeof(struct iphdr));
	head.outer.udp.check = 0;
	/* Whatever the packet's port, which a firewall still sees as it came. */
	refused = bpf_skb_store_bytes(skb, ETH_HLEN, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM) ||
		  bpf_sk_assign(skb, inlet, 0);
	bpf_sk_release(inlet);
	if (refused)
		return refuse(skb, UNWRAPPING);
	skb->tc_classid = OURS; /* with TCX_PASS it becomes tc_index */
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

	/* A frame for another card, or of a VLAN, is not for us; the kernel knows what to do with it. */
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
	/* A train of datagrams in one piece has a longer outer than inner packet: it is for the daemon. */
	if (inner->version != 4 || inner->ihl < 5 || inner->ihl * 4 > length ||
	    ntohs(inner->tot_len) != length || ntohs(ip->tot_len) != length + OUTER ||
	    ntohs(udp->len) != length + sizeof(struct udphdr))
		return TCX_NEXT;
	/* Programs send TCP alone in one piece, and no outer checksum (RFC 768: 0). */
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
		/* A daemon sent it, a single packet. TCP's segments the daemon joins, and what they make the rest
		 * of the kernel do is then done once. What programs have sent, without this checksum, is not for the
		 * daemon, whatever we know of the peer: its inner checksum may be left to a device.
		 *
		 * What nobody has verified the daemon's socket does; what is too long cannot be regrown below. */
		if (inner->protocol == IPPROTO_TCP || length > SINGLE || !verified(skb, ip, udp))
			return TCX_NEXT;
	}
	if (inner->ttl <= 1)
		return TCX_NEXT;

	int summed = udp->check != 0, super = skb->gso_size != 0, leaves = 0;

	/* All of a connection goes the same way once it is made, so that nothing is overtaken. */
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
		/* A checksum of the outer UDP header that is still to be computed would be computed for the
		 * inner packet. The kernel forgets it when the place of that header is taken away and 8 bytes
		 * more; these come back. */
		__u64 begin;

		if (bpf_skb_load_bytes(skb, ETH_HLEN + OUTER, &begin, 8) ||
		    bpf_skb_adjust_room(skb, -(OUTER + 8), BPF_ADJ_ROOM_MAC, 0) ||
		    bpf_skb_adjust_room(skb, 8, BPF_ADJ_ROOM_MAC, 0) ||
		    bpf_skb_store_bytes(skb, ETH_HLEN, &begin, 8, BPF_F_RECOMPUTE_CSUM))
			return refuse(skb, UNWRAPPING);
	}
	return bpf_redirect(mandate->tun, BPF_F_INGRESS);
}

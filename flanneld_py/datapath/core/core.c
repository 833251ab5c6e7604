/* What `segment`, `coalesce` and `offload` do with common packets, compiled: the same to the bit, or nothing at all.
 *
 * All memory is the caller's. Every length is checked here, because packets come from anybody. What is not of the
 * common kind is left to Python, whose words for errors and rare cases are the only ones. Of the C library some
 * system calls and memcpy are needed, which the process that loads this has: nothing is linked, so that one file
 * serves every library and every Python of its architecture.
 *
 * Fields of packets are in network byte order; sums are those of `sums`, modulo 65535.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

enum {
	LEFT = -1,
	MODULUS = 65535,
	LONGEST = 65535,
	MOST = 64,  /* UDP_MAX_SEGMENTS of linux/udp.h, before it became 128 */
	FEWEST = 3,
	IP = 20,   /* sizeof(struct iphdr) */
	TCP = 20,  /* sizeof(struct tcphdr) */
	UDP = 8,   /* sizeof(struct udphdr) */
	DF = 0x4000,
	/* Flags in the 16 bits that begin with the data offset */
	FIN = 0x001, PSH = 0x008, ACK = 0x010, ECE = 0x040, CWR = 0x080, FLAGS = 0x1ff,
	AT_END = PSH | FIN,
	/* linux/virtio_net.h */
	NEEDS_CSUM = 1, GSO_NONE = 0, GSO_TCPV4 = 1, GSO_UDP_L4 = 5, GSO_ECN = 0x80,
};

/* struct virtio_net_hdr, in the machine's byte order */
struct vnet {
	u8 flags, gso_type;
	u16 hdr_len, gso_size, csum_start, csum_offset;
};

/* A `Run`: packets that are written to the device together. */
struct run {
	u32 first;   /* where its first packet begins in the train */
	u32 packets;
	u32 begin;   /* where the virtio header begins in the room, and the packet after it */
	u32 end;
	u32 bytes;   /* the packets' total length */
};

_Static_assert(sizeof(struct vnet) == 10, "struct virtio_net_hdr");

/* The SHA-256 of this file, by tools/core: the package loads nothing that was compiled from another one. */
#ifndef SOURCE
#error "tools/core compiles this"
#endif
const char core_source[] = "core.c sha256:" SOURCE;

static u32 get16(const u8 *at) { return (u32)at[0] << 8 | at[1]; }
static u32 get32(const u8 *at) { return get16(at) << 16 | get16(at + 2); }
static void put16(u8 *at, u32 value) { at[0] = (u8)(value >> 8); at[1] = (u8)value; }
static void put32(u8 *at, u32 value) { put16(at, value >> 16); put16(at + 2, value & 0xffff); }

/* `sums.sum_of`: the sum of big-endian words, below 2**16; an odd last byte counts as if followed by a zero. */
static u32 sum(const u8 *data, size_t size)
{
	u64 total = 0;
	size_t words = size / 4;
	for (size_t at = 0; at < words; at++) {
		u32 word;
		memcpy(&word, data + at * 4, 4);
		total += word;
	}
	data += words * 4;
	if (size & 2) {
		u16 half;
		memcpy(&half, data, 2);
		total += half;
		data += 2;
	}
	if (size & 1) {
		u8 pair[2] = {data[0], 0};
		u16 half;
		memcpy(&half, pair, 2);
		total += half;
	}
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	total = (total & 0xff) << 8 | total >> 8;
#endif
	return (u32)total;
}

/* The checksum of data with this sum: 0 to 65534. */
static u32 checksum(u64 total)
{
	u32 rest = (u32)(total % MODULUS);
	return rest ? MODULUS - rest : 0;
}

/* `packet.decrement_ttl`, in place. The TTL is not 0. */
static void decrement_ttl(u8 *packet)
{
	u32 check = get16(packet + 10) + 0x0100;
	packet[8]--;
	put16(packet + 10, check < 0xffff ? check : (check + 1) & 0xffff);
}

/* What there is to know of a packet before anything is made of it. */
struct shape {
	u32 ip, headers;   /* the headers' length: IPv4's, and IPv4's and the transport's; 0 of a single packet */
	u32 count, total;  /* of its segments, and their total length */
	u32 each;          /* the length of each but the last */
	int tcp;
};

/* The checks of `segment.segments`, without which nothing is written. Answers whether it is of the common kind. */
static int shape_of(const struct vnet *vnet, const u8 *packet, size_t size, struct shape *shape)
{
	u32 kind = vnet->gso_type & ~GSO_ECN, step = vnet->gso_size, ip, protocol, headers;

	if (size < IP || size > LONGEST || packet[8] == 0)
		return 0;
	if (kind == GSO_NONE) {
		size_t start = vnet->csum_start, place = start + vnet->csum_offset;
		*shape = (struct shape){.count = 1, .total = (u32)size, .each = (u32)size};
		return !(vnet->flags & NEEDS_CSUM) || (place + 2 <= size && start >= IP);
	}
	ip = (packet[0] & 15) * 4;
	protocol = packet[9];
	if (ip < IP || ip > size)
		return 0;
	shape->tcp = kind == GSO_TCPV4 && protocol == IPPROTO_TCP;
	if (shape->tcp && ip + TCP <= size) {
		headers = ip + (packet[ip + 12] >> 4) * 4;
		if (headers < ip + TCP)
			return 0;
	} else if (kind == GSO_UDP_L4 && protocol == IPPROTO_UDP) {
		headers = ip + UDP;
	} else {
		return 0;
	}
	if (step == 0 || headers >= size)
		return 0;
	shape->ip = ip;
	shape->headers = headers;
	shape->count = (u32)((size - headers + step - 1) / step);
	shape->total = (u32)size + (shape->count - 1) * headers;
	shape->each = headers + step;
	return 1;
}

/* `segment._single`: finish a packet that is not a super-packet. */
static void single(const struct vnet *vnet, const u8 *packet, size_t size, u8 *out)
{
	memcpy(out, packet, size);
	decrement_ttl(out);
	if (vnet->flags & NEEDS_CSUM) {
		size_t start = vnet->csum_start, place = start + vnet->csum_offset;
		u32 value = checksum(sum(out + start, size - start));
		put16(out + place, value == 0 && out[9] == IPPROTO_UDP ? 0xffff : value);
	}
}

/* Write all segments of a packet of this shape to `out`, which has room for them. */
static void put_segments(const struct vnet *vnet, const u8 *packet, size_t size, const struct shape *shape, u8 *out)
{
	u32 step = vnet->gso_size, ip = shape->ip, headers = shape->headers, count = shape->count;
	u32 ip_sum, rest_sum, ident, seq = 0, word = 0;
	u8 head[15 * 4 + 15 * 4], *at = out;
	int tcp = shape->tcp;

	if (!headers) {
		single(vnet, packet, size, out);
		return;
	}
	/* What the segments have in common, with zeros in all other fields */
	memcpy(head, packet, headers);
	head[8]--;
	put32(head + 2, 0);  /* tot_len, id */
	put16(head + 10, 0);
	put32(head + ip + 4, 0);  /* seq; UDP's len and check */
	if (tcp)
		put16(head + ip + 16, 0);
	ident = get16(packet + 4);
	ip_sum = sum(head, ip);
	rest_sum = sum(head + ip, headers - ip) + sum(head + 12, 8) + packet[9];
	if (tcp) {
		seq = get32(packet + ip + 4);
		word = get16(packet + ip + 12);
		rest_sum += MODULUS - word;  /* each segment has its own */
	}
	for (u32 number = 0; number < count; number++) {
		size_t place = headers + (size_t)number * step;
		u32 length = (u32)(size - place < step ? size - place : step), total = headers + length;
		u32 id = (ident + number) & 0xffff, payload;
		memcpy(at, head, headers);
		memcpy(at + headers, packet + place, length);
		payload = sum(at + headers, length);
		put16(at + 2, total);
		put16(at + 4, id);
		put16(at + 10, checksum((u64)ip_sum + total + id));
		if (tcp) {
			u32 here = seq + number * step, flags = word;
			if (number)
				flags &= ~(u32)CWR;
			if (number != count - 1)
				flags &= ~(u32)AT_END;
			put32(at + ip + 4, here);
			put16(at + ip + 12, flags);
			put16(at + ip + 16, checksum((u64)rest_sum + total - ip + payload + here + flags));
		} else {
			u32 value = checksum((u64)rest_sum + 2 * (total - ip) + payload);
			put16(at + ip + 4, total - ip);
			put16(at + ip + 6, value ? value : 0xffff);
		}
		at += total;
	}
}

/* `segment.segments`: write all segments to `out`, and the length of each but the last to `each`.
 *
 * Answers their total length, or LEFT.
 */
s64 core_segments(const struct vnet *vnet, const u8 *packet, size_t size, u8 *out, size_t room, u32 *each)
{
	struct shape shape;
	if (!shape_of(vnet, packet, size, &shape) || shape.total > room)
		return LEFT;
	put_segments(vnet, packet, size, &shape, out);
	*each = shape.each;
	return shape.total;
}

/* `coalesce._kind`: the bytes of both headers of what may be joined to the first packet; 0 if nothing can. */
static u32 joinable(const u8 *train, u32 size)
{
	u32 headers;
	if (size < IP + UDP || train[0] != 0x45 || train[8] == 0)
		return 0;
	if ((get16(train + 6) & ~(u32)DF) || get16(train + 2) != size)
		return 0;
	if (train[9] == IPPROTO_UDP) {
		headers = IP + UDP;
	} else if (train[9] == IPPROTO_TCP && size >= IP + TCP) {
		headers = IP + (train[IP + 12] >> 4) * 4;
		if (headers < IP + TCP)
			return 0;
	} else {
		return 0;
	}
	return headers < size ? headers : 0;
}

/* Whether a packet is of the first one's kind, `headers` and protocol, and its lengths and checksums are correct. */
static int sound(const u8 *packet, u32 size, u32 headers, u32 protocol)
{
	if (size <= headers || packet[0] != 0x45 || packet[9] != protocol || packet[8] == 0)
		return 0;
	if ((get16(packet + 6) & ~(u32)DF) || get16(packet + 2) != size || sum(packet, IP) % MODULUS)
		return 0;
	if (protocol == IPPROTO_TCP) {
		u32 flags = get16(packet + IP + 12);
		if (IP + (flags >> 12) * 4 != headers)
			return 0;
		if ((flags & FLAGS & ~(u32)(AT_END | ECE)) != ACK)
			return 0;
	} else if (get16(packet + IP + 6) == 0 || get16(packet + IP + 4) != size - IP) {
		return 0;  /* RFC 768: a checksum of 0 means that there is none */
	}
	return (sum(packet + IP, size - IP) + sum(packet + 12, 8) + size - IP + protocol) % MODULUS == 0;
}

static int differ(const u8 *one, const u8 *other, size_t size)
{
	u8 found = 0;
	for (size_t at = 0; at < size; at++)
		found |= one[at] ^ other[at];
	return found;
}

/* Whether `next` goes on where `packet` ends. Both are sound, and of one kind; `payload` is the first one's. */
static int goes_on(const u8 *packet, const u8 *next, u32 headers, u32 payload)
{
	/* All but tot_len, id, check; what follows is the same flow's. */
	if (differ(packet, next, 2) || differ(packet + 6, next + 6, 4) || differ(packet + 12, next + 12, 12))
		return 0;
	if (!(packet[6] & DF >> 8) && ((get16(next + 4) - get16(packet + 4)) & 0xffff) != 1)
		return 0;  /* with DF the identification has no meaning (RFC 6864) */
	if (packet[9] == IPPROTO_UDP)
		return 1;
	if (get32(next + IP + 4) - get32(packet + IP + 4) != payload || (get16(packet + IP + 12) & AT_END))
		return 0;
	if ((get16(packet + IP + 12) ^ get16(next + IP + 12)) & ~(u32)AT_END & 0xffff)
		return 0;
	return !differ(packet + IP + 8, next + IP + 8, 4) && !differ(packet + IP + 14, next + IP + 14, 2) &&
	       !differ(packet + IP + 18, next + IP + 18, headers - IP - 18);
}

/* The room of `core_runs`, and what is in use of it. */
struct output {
	struct run *runs;
	u8 *room;
	size_t most_runs, size, count, used;
};

static struct run *begin_run(struct output *out, const u8 *train, const u8 *first, u32 packets, size_t length)
{
	struct run *run;
	if (out->count == out->most_runs || out->size - out->used < sizeof(struct vnet) + length)
		return NULL;
	run = out->runs + out->count++;
	run->first = (u32)(first - train);
	run->packets = packets;
	run->begin = (u32)out->used;
	out->used += sizeof(struct vnet) + length;
	run->end = (u32)out->used;
	return run;
}

/* `coalesce._single`: unchanged except for its TTL; an incorrect checksum stays incorrect. */
static int put_single(struct output *out, const u8 *train, const u8 *packet, u32 size)
{
	static const struct vnet nothing;
	struct run *run = begin_run(out, train, packet, 1, size);
	u8 *at;
	if (!run)
		return 0;
	run->bytes = size;
	at = out->room + run->begin;
	memcpy(at, &nothing, sizeof nothing);
	at += sizeof nothing;
	memcpy(at, packet, size);
	if (size >= IP && at[8] > 0)
		decrement_ttl(at);
	return 1;
}

/* `coalesce._Table._joined`: packets of `size` bytes, of which the last has `last`, as one super-packet. */
static int put_joined(struct output *out, const u8 *train, const u8 *first, u32 packets, u32 size, u32 last,
		      u32 headers)
{
	u32 payload = size - headers, protocol = first[9], tcp = protocol == IPPROTO_TCP;
	u32 total = headers + (packets - 1) * payload + last - headers, length = total - IP;
	u32 check = IP + (tcp ? 16 : 6);
	struct vnet vnet = {
		NEEDS_CSUM, tcp ? GSO_TCPV4 : GSO_UDP_L4, (u16)headers, (u16)payload, IP, (u16)(check - IP),
	};
	struct run *run = begin_run(out, train, first, packets, total);
	u8 *at, *head;
	if (!run)
		return 0;
	run->bytes = total + (packets - 1) * headers;
	at = out->room + run->begin;
	memcpy(at, &vnet, sizeof vnet);
	head = at + sizeof vnet;
	memcpy(head, first, headers);
	head[8]--;
	put16(head + 2, total);
	put16(head + 10, 0);
	put16(head + 10, checksum(sum(head, IP)));
	/* The partial checksum that offload to a device requires: the sum of the pseudo-header */
	put16(head + check, (sum(head + 12, 8) + protocol + length) % MODULUS);
	if (tcp)
		head[IP + 13] |= first[(size_t)(packets - 1) * size + IP + 13] & AT_END;
	else
		put16(head + IP + 4, length);
	at = head + headers;
	for (u32 number = 0; number < packets; number++) {
		u32 part = number == packets - 1 ? last - headers : payload;
		memcpy(at, first + (size_t)number * size + headers, part);
		at += part;
	}
	return 1;
}

static u32 length_at(size_t length, u32 size, u32 number)
{
	size_t left = length - (size_t)number * size;
	return left < size ? (u32)left : size;
}

/* `coalesce.runs` of several datagrams, each of `size` bytes, though the last may be shorter.
 *
 * Answers the number of runs, or LEFT if there is no room for them.
 */
s64 core_runs(const u8 *train, size_t length, u32 size, struct run *runs, size_t most_runs, u8 *room, size_t room_size)
{
	struct output out = {runs, room, most_runs, room_size, 0, 0};
	const u8 *here = train;
	u32 headers = 0, count, most, begin, good;

	if (size == 0 || size > LONGEST)
		return LEFT;
	for (; length > size; here += size, length -= size) {
		if (length > (FEWEST - 1) * (size_t)size && size >= IP + UDP &&
		    !differ(here + 12, here + size + 12, IP + 4 - 12))
			headers = joinable(here, size);
		if (headers)
			break;
		if (!put_single(&out, train, here, size))
			return LEFT;
	}
	if (!headers) {
		if (length && !put_single(&out, train, here, (u32)length))
			return LEFT;
		return (s64)out.count;
	}
	count = (u32)((length + size - 1) / size);
	most = (LONGEST - headers) / (size - headers);
	if (most > MOST)
		most = MOST;
	good = (u32)sound(here, size, headers, here[9]);
	for (begin = 0; begin < count;) {
		const u8 *first = here + (size_t)begin * size;
		u32 end = begin + 1, next = 0, last;
		while (end < count) {
			const u8 *packet = here + (size_t)end * size;
			next = (u32)sound(packet, length_at(length, size, end), headers, here[9]);
			if (!good || !next || end - begin == most || !goes_on(packet - size, packet, headers, size - headers))
				break;
			end++;
		}
		last = length_at(length, size, end - 1);
		if (end - begin == 1 ? !put_single(&out, train, first, last)
				     : !put_joined(&out, train, first, end - begin, size, last, headers))
			return LEFT;
		begin = end;
		good = next;
	}
	return (s64)out.count;
}

/* The pump: the loop of `pumped` for packets that need no decision any more, without Python between them.
 *
 * Python decides about the first packet to a destination, and about the first one from a source, and tells the pump
 * what was decided (`places`). Whatever else comes is left to Python, one packet or arrival at a time. What was
 * decided holds until the mandate or its table is another one, or the lease has expired; that is looked at before
 * each batch.
 */
enum {
	BATCH = 64,          /* reads from one side before the other gets its turn */
	BATCH_DATAGRAMS = BATCH * MOST,  /* to be sent: after so many the other side gets its turn, too */
	ROOM = 1 << 16,      /* the maximum length of a packet and of a train */
	MOST_BYTES = 65507,  /* maximum payload of one call: an IPv4 packet less its headers */
	ARRIVALS = BATCH,
	PLACES = 4096,
	PEERS = 256,
	MOST_PACED = 64,
	MOST_WAITING = 500,  /* datagrams for a paced node: `pacing` */
	MOST_QUEUED = MOST_WAITING + MOST - 1,  /* with those that are joined to the last train */
	TRAINS = 512,        /* at least MOST_WAITING: each has a datagram */
	/* Milliseconds after which counters are read: without traffic, and at the latest. That takes as long as a ping's
	 * way there and back, which would meet it if it were done in every pause between two. */
	COLLECT = 20, COLLECT_BUSY = 1000,
	UDP_SEGMENT_ = 103,  /* linux/udp.h */
	UDP_GRO_ = 104,
	IP_RECVFRAGSIZE_ = 25,  /* linux/in.h */
};

/* What may be read */
enum side {
	TUN = 1,
	SOCKET = 2,
	TIMER = 4,
	PACE = 8,
};

static const u64 NEVER = ~(u64)0;

/* Why the pump has stopped; Python does its part, and starts it again. */
enum reason {
	WOKEN = 1,     /* the loop is to end */
	CHANGED,       /* the mandate has changed or expired: `ready` says what may be read */
	DUE,           /* the timer */
	COUNTED,       /* counters wait to be read */
	PACKET,        /* `size` bytes, with the virtio header, were read from the device */
	TRAIN,         /* `left` could not be sent: bytes in `space`, each packet's length, its peer */
	ARRIVAL,       /* the datagrams of arrival number `arrival` - 1 */
	UNWRITTEN,     /* `size` packets could not be written to the device: `error` */
	UNREAD,        /* reading from the device failed: `error` */
	UNRECEIVED,    /* receiving failed: `error` */
	UNPOLLED,      /* polling failed: `error` */
};

struct peer {
	u32 node;  /* in network byte order */
	u32 port, mtu;
	u32 line;  /* of a paced one: the number of its node's line plus one */
	u64 sent_packets, sent_bytes, received_packets, received_bytes;
};

/* What was decided about an address: the number of the peer plus one; 0 if nothing was. */
struct place {
	u32 address, peer;
};

/* Datagrams from one node, `offload.Arrival`. */
struct arrival {
	u32 begin, end, each, node, fragment;
};

/* Packets that go to one peer, in `space`: of `each` bytes, though the last may be shorter. `peer` is as in place. */
struct train {
	u32 begin, end, each, peer;
};

/* `trains.Train` in a queue, for the peer with this port and MTU. */
struct queued {
	u32 bytes, each, parts, port, mtu;
};

/* The queue of a paced node, and when its next train is due: `pacing._Line`. It does not depend on the mandate. */
struct line {
	u32 node;             /* in network byte order */
	u32 packets;          /* that wait */
	u32 first, trains;    /* of `queue`, a ring of TRAINS */
	struct queued *queue;
	u8 *room;             /* a ring of `size` bytes; what waits begins at `begin` */
	u64 size, begin, bytes;
	u64 due;              /* in nanoseconds of CLOCK_BOOTTIME, as all times */
	u64 sent_packets, sent_bytes;
};

struct pump {
	s32 tun, socket, wake, timer, pace;
	u64 until;                     /* nanoseconds of CLOCK_BOOTTIME */
	const volatile u64 *changes[2];  /* counts of changes: the table's, the mandate's */
	u64 seen[2];
	u32 first, last;               /* our subnet */
	u32 ready, error, size, dirty;
	struct vnet *header;
	u8 *packet;                    /* ROOM bytes */
	u8 *trains;                    /* what was received */
	u64 trains_size;
	u8 *space;                     /* segments, to be sent */
	u64 space_size;
	struct run *runs;
	u64 most_runs;
	u8 *room;                      /* packets, to be written */
	u64 room_size;
	u64 collected;                 /* when counters were last read */
	u64 each, single;              /* pauses: for a datagram of a super-packet, and for one by itself */
	u64 next;                      /* when the next train of a line is due; NEVER if none waits */
	u64 armed;                     /* for when `pace` is set, which is the pump's own timer */
	u64 refused;                   /* datagrams that found a line full */
	struct train waiting, left;
	struct queued left_queued;     /* what is left, if `left_line` is not 0; it begins there in the line's room */
	u64 left_begin;
	u32 left_line, lines_used;     /* a line's number plus one */
	u32 arrival, arrivals;
	u32 failed;                    /* an error of receiving, to be told after what was received before it */
	u32 again;                     /* length of the packet that was read and not yet taken */
	u32 pending;                   /* sides that may be read, and have not had their turn */
	struct arrival arrived[ARRIVALS];
	struct place destinations[PLACES], sources[PLACES];
	struct peer peers[PEERS];
	struct line lines[MOST_PACED];
};

u64 core_pump_size(void)
{
	return sizeof(struct pump);
}

static struct place *place_of(struct place *places, u32 address)
{
	return places + (address * 2654435761u >> 20);  /* Knuth's multiplicative hash, 12 bits */
}

/* Remember the peer of an address. */
void core_learn(struct pump *pump, int source, u32 address, u32 peer)
{
	struct place *place = place_of(source ? pump->sources : pump->destinations, address);
	place->address = address;
	place->peer = peer + 1;
}

static u32 known(struct place *places, u32 address)
{
	struct place *place = place_of(places, address);
	return place->address == address ? place->peer : 0;
}

static u64 now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_BOOTTIME, &time);
	return (u64)time.tv_sec * 1000000000u + (u64)time.tv_nsec;
}

static u32 packets_of(u32 bytes, u32 each)
{
	return bytes / each + (bytes % each != 0);
}

/* Send what these parts contain as packets of this length, though the last may be shorter. */
static int send_parts(const struct pump *pump, u32 node, u32 port, struct iovec *parts, size_t count, u32 packets,
		      u32 length)
{
	u16 each = (u16)length;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((u16)port)};
	union {
		struct cmsghdr head;
		u8 room[CMSG_SPACE(sizeof each)];
	} control;
	struct msghdr message = {
		.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = parts, .msg_iovlen = count,
	};

	address.sin_addr.s_addr = node;
	if (packets > 1) {
		memset(&control, 0, sizeof control);
		message.msg_control = &control;
		message.msg_controllen = sizeof control.room;
		control.head.cmsg_level = IPPROTO_UDP;
		control.head.cmsg_type = UDP_SEGMENT_;
		control.head.cmsg_len = CMSG_LEN(sizeof each);
		memcpy(CMSG_DATA(&control.head), &each, sizeof each);
	}
	return sendmsg(pump->socket, &message, 0) >= 0;
}

static int send_train(struct pump *pump, const struct train *train)
{
	struct peer *peer = pump->peers + train->peer - 1;
	u32 bytes = train->end - train->begin, packets = packets_of(bytes, train->each);
	struct iovec part = {pump->space + train->begin, bytes};

	if (!send_parts(pump, peer->node, peer->port, &part, 1, packets, train->each))
		return 0;
	peer->sent_packets += packets;
	peer->sent_bytes += bytes;
	pump->dirty = 1;
	return 1;
}

/* The most that is sent at once of packets of this length. */
static u32 most_of(u32 each)
{
	u32 packets = MOST_BYTES / each;
	return (packets > MOST ? MOST : packets ? packets : 1) * each;
}

/* Send what waits; with `keep` only trains that are full. Answers TRAIN if one could not be sent. */
static int flush(struct pump *pump, int keep)
{
	struct train *waiting = &pump->waiting;
	while (waiting->begin < waiting->end) {
		u32 most = most_of(waiting->each);
		struct train train = *waiting;
		if (train.end - train.begin > most)
			train.end = train.begin + most;
		else if (keep && train.end - train.begin < most)
			break;
		waiting->begin = train.end;
		if (!send_train(pump, &train)) {
			pump->left = train;
			pump->left_line = 0;
			return TRAIN;
		}
	}
	return 0;
}

/* Whether packets go on with the train that waits: `trains.Train`. */
static int fits(const struct train *waiting, const struct train *next)
{
	u32 before = waiting->end - waiting->begin, length = next->end - next->begin;
	if (waiting->peer != next->peer || before % waiting->each || next->each > waiting->each)
		return 0;
	if (next->each == waiting->each)
		return 1;
	/* A shorter packet would be the last one. */
	return length <= next->each && before + length <= most_of(waiting->each);
}

/* Send everything before a packet that was read is looked at further. */
static int flush_before(struct pump *pump, u32 size)
{
	int reason = flush(pump, 0);
	if (reason)
		pump->again = size;
	return reason;
}

/* `trains.Train._room`: how many of these bytes, of packets like `next`, may be appended. */
static u32 room_of(const struct queued *train, const struct queued *next, size_t length)
{
	u32 left = most_of(train->each) - train->bytes;
	if (train->bytes % train->each || train->port != next->port || train->mtu != next->mtu)
		return 0;
	if (next->each > train->each)
		return 0;
	if (next->each < train->each)  /* a shorter packet would be the last one */
		return length <= next->each && next->each <= left ? (u32)length : 0;
	return length < left ? (u32)length : left;
}

static struct queued *last_of(const struct line *line)
{
	return line->queue + (line->first + line->trains - 1) % TRAINS;
}

/* `trains.Train.fill` of a line's last train. Answers how many bytes were appended. */
static u32 fill(struct line *line, const struct queued *next, const u8 *data, size_t length)
{
	struct queued *train = last_of(line);
	u32 room = room_of(train, next, length), before = packets_of(train->bytes, train->each);
	u64 end, ahead;
	if (!room || room > line->size - line->bytes)
		return 0;
	end = (line->begin + line->bytes) % line->size;
	ahead = line->size - end;
	if (ahead > room)
		ahead = room;
	memcpy(line->room + end, data, ahead);
	memcpy(line->room, data + ahead, room - ahead);
	line->bytes += room;
	train->bytes += room;
	train->parts++;
	line->packets += packets_of(train->bytes, train->each) - before;
	return room;
}

/* `pacing.Pacer.put`: what does not fit is counted. */
static void put_in_line(struct pump *pump, struct line *line, const struct queued *next, const u8 *data, size_t length)
{
	size_t done = line->trains ? fill(line, next, data, length) : 0;
	while (done < length && line->packets < MOST_WAITING && line->trains < TRAINS) {
		u32 filled;
		line->trains++;
		*last_of(line) = *next;
		filled = fill(line, next, data + done, length - done);
		if (!filled) {
			line->trains--;
			break;
		}
		done += filled;
	}
	if (line->packets && line->due < pump->next)
		pump->next = line->due;
	if (done < length) {
		pump->refused += (length - done + next->each - 1) / next->each;
		pump->dirty = 1;
	}
}

/* `pacing.Pacer.take` of this line, and sending what was taken. Answers TRAIN if it could not be sent. */
static int send_first(struct pump *pump, struct line *line, u64 time)
{
	struct queued train = line->queue[line->first];
	u32 packets = packets_of(train.bytes, train.each);
	u64 begin = line->begin, ahead = line->size - begin;
	struct iovec parts[2];
	if (ahead > train.bytes)
		ahead = train.bytes;
	parts[0] = (struct iovec){line->room + begin, ahead};
	parts[1] = (struct iovec){line->room, train.bytes - ahead};
	line->first = (line->first + 1) % TRAINS;
	line->trains--;
	line->packets -= packets;
	line->bytes -= train.bytes;
	line->begin = line->bytes ? (begin + train.bytes) % line->size : 0;
	line->due = time + packets * (packets > train.parts ? pump->each : pump->single);
	if (!send_parts(pump, line->node, train.port, parts, ahead < train.bytes ? 2 : 1, packets, train.each)) {
		pump->left_queued = train;
		pump->left_begin = begin;
		pump->left_line = (u32)(line - pump->lines) + 1;
		return TRAIN;
	}
	line->sent_packets += packets;
	line->sent_bytes += train.bytes;
	pump->dirty = 1;
	return 0;
}

/* `offload.OffloadLoop._send_due` of the lines. Answers TRAIN if a train could not be sent; others may be due. */
int core_send_due(struct pump *pump, u64 time)
{
	u64 next = NEVER;
	if (time < pump->next)
		return 0;
	for (struct line *line = pump->lines; line < pump->lines + pump->lines_used; line++) {
		while (line->packets && line->due <= time)
			if (send_first(pump, line, time)) {
				pump->next = 0;
				return TRAIN;
			}
		if (line->packets && line->due < next)
			next = line->due;
	}
	pump->next = next;
	return 0;
}

/* Queue packets of Python's for the peer with this port and MTU of a paced node. */
void core_queue(struct pump *pump, u32 line, u32 port, u32 mtu, const u8 *data, size_t length, u32 each)
{
	struct queued next = {.each = each, .port = port, .mtu = mtu};
	put_in_line(pump, pump->lines + line, &next, data, length);
}

/* Whether there is no place for packets of this shape: then they need not be made. */
static int is_full(const struct line *line, const struct queued *next, const struct shape *shape)
{
	return line->packets >= MOST_WAITING && !room_of(last_of(line), next, shape->total);
}

/* `pacing.Pacer` for packets of this shape, of the packet that was read, to a paced peer. */
static int take_paced(struct pump *pump, struct train *train, const struct shape *shape, u32 size)
{
	const struct peer *peer = pump->peers + train->peer - 1;
	struct line *line = pump->lines + peer->line - 1;
	struct queued next = {.each = shape->each, .port = peer->port, .mtu = peer->mtu};
	u64 time = now();
	int reason;

	if (is_full(line, &next, shape)) {
		pump->refused += shape->count;
		pump->dirty = 1;
		return core_send_due(pump, time);
	}
	put_segments(pump->header, pump->packet, size, shape, pump->space + train->begin);
	if (line->packets || time < line->due || shape->total > most_of(shape->each)) {
		put_in_line(pump, line, &next, pump->space + train->begin, shape->total);
		return core_send_due(pump, time);
	}
	/* It is sent at once: no need to copy it. */
	if ((reason = flush_before(pump, size)))
		return reason;
	line->due = time + shape->count * (shape->count > 1 ? pump->each : pump->single);
	pump->waiting = *train;
	return flush(pump, 0);
}

/* Segment the packet that was read, to be sent with those that wait. Adds the number of datagrams to `made`. */
static int take(struct pump *pump, u32 size, u32 *made)
{
	const u8 *packet = pump->packet;
	struct train *waiting = &pump->waiting, next = {0};
	struct shape shape;
	int reason;

	pump->again = 0;
	if (pump->space_size - waiting->end < 2 * ROOM && (reason = flush_before(pump, size)))
		return reason;
	if (waiting->begin == waiting->end)
		waiting->begin = waiting->end = 0;
	next.begin = waiting->end;
	if (size >= IP && packet[0] == 0x45 && get16(packet + 2) == size && packet[8] > 1)
		next.peer = known(pump->destinations, get32(packet + 16));
	if (!next.peer || !shape_of(pump->header, packet, size, &shape) ||
	    shape.total > pump->space_size - next.begin ||
	    (shape.each < size ? shape.each : size) > pump->peers[next.peer - 1].mtu) {
		if ((reason = flush_before(pump, size)))
			return reason;
		pump->size = size;
		return PACKET;
	}
	next.end = next.begin + shape.total;
	next.each = shape.each;
	*made += shape.count;
	if (pump->peers[next.peer - 1].line)
		return take_paced(pump, &next, &shape, size);
	put_segments(pump->header, packet, size, &shape, pump->space + next.begin);
	if (waiting->begin < waiting->end && fits(waiting, &next)) {
		waiting->end = next.end;
	} else {
		if ((reason = flush_before(pump, size)))
			return reason;
		*waiting = next;
	}
	return flush(pump, 1);
}

static int from_kernel(struct pump *pump)
{
	struct iovec parts[2] = {{pump->header, sizeof(struct vnet)}, {pump->packet, ROOM}};
	u32 made = 0;
	for (int number = 0; number < BATCH && made < BATCH_DATAGRAMS; number++) {
		ssize_t size = readv(pump->tun, parts, 2);
		int reason;
		if (size < 0) {
			if (errno == EAGAIN)
				break;
			pump->error = (u32)errno;
			flush(pump, 0);
			return UNREAD;
		}
		reason = take(pump, size < (ssize_t)sizeof(struct vnet) ? 0 : (u32)size - sizeof(struct vnet), &made);
		if (reason)
			return reason;
	}
	return flush(pump, 0);
}

/* Whether all runs of an arrival are packets from that node's subnets to ours; answers the peer. */
static u32 admitted(struct pump *pump, const struct arrival *arrival, const u8 *train, s64 runs)
{
	u32 found = 0;
	for (s64 number = 0; number < runs; number++) {
		const u8 *packet = train + pump->runs[number].first;
		u32 length = arrival->end - arrival->begin - pump->runs[number].first, destination, peer;
		if (length > arrival->each)
			length = arrival->each;
		if (length < IP || packet[0] != 0x45 || get16(packet + 2) != length || packet[8] <= 1)
			return 0;
		destination = get32(packet + 16);
		if (destination < pump->first || destination >= pump->last || destination >> 28 == 14)
			return 0;
		peer = known(pump->sources, get32(packet + 12));
		if (!peer || pump->peers[peer - 1].node != arrival->node)
			return 0;
		found = peer;
	}
	return found;
}

static int deliver(struct pump *pump)
{
	while (pump->arrival < pump->arrivals) {
		const struct arrival *arrival = pump->arrived + pump->arrival++;
		const u8 *train = pump->trains + arrival->begin;
		s64 runs = LEFT;
		u32 from = 0;
		if (!arrival->fragment)
			runs = core_runs(train, arrival->end - arrival->begin, arrival->each, pump->runs, pump->most_runs,
					 pump->room, pump->room_size);
		if (runs > 0)
			from = admitted(pump, arrival, train, runs);
		if (!from)
			return ARRIVAL;
		pump->size = 0;
		for (s64 number = 0; number < runs; number++) {
			const struct run *run = pump->runs + number;
			if (write(pump->tun, pump->room + run->begin, run->end - run->begin) < 0) {
				pump->error = (u32)errno;
				pump->size += run->packets;
				continue;
			}
			pump->peers[from - 1].received_packets += run->packets;
			pump->peers[from - 1].received_bytes += run->bytes;
			pump->dirty = 1;
		}
		if (pump->size)
			return UNWRITTEN;
	}
	if (pump->failed) {
		pump->error = pump->failed;
		pump->failed = 0;
		return UNRECEIVED;
	}
	return 0;
}

/* Append a datagram, or a train of them, to those that arrived before, if they go on. */
static void arrive(struct pump *pump, struct arrival arrival)
{
	if (pump->arrivals) {
		struct arrival *before = pump->arrived + pump->arrivals - 1;
		if (before->node == arrival.node && before->each == arrival.each && arrival.each && !before->fragment &&
		    !arrival.fragment && (before->end - before->begin) % before->each == 0) {
			before->end = arrival.end;
			return;
		}
	}
	pump->arrived[pump->arrivals++] = arrival;
}

static int from_network(struct pump *pump)
{
	u32 end = 0;
	pump->arrival = pump->arrivals = 0;
	for (int number = 0; number < BATCH && pump->trains_size - end >= ROOM; number++) {
		struct sockaddr_in address;
		struct iovec part = {pump->trains + end, ROOM};
		union {
			struct cmsghdr head;
			u8 room[2 * CMSG_SPACE(sizeof(int))];
		} control;
		struct msghdr message = {
			.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &part, .msg_iovlen = 1,
			.msg_control = &control, .msg_controllen = sizeof control.room,
		};
		struct arrival arrival = {.begin = end};
		ssize_t size = recvmsg(pump->socket, &message, 0);
		if (size < 0) {
			if (errno != EAGAIN)
				pump->failed = (u32)errno;
			break;
		}
		for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
			int value;
			memcpy(&value, CMSG_DATA(each), sizeof value);
			if (each->cmsg_level == IPPROTO_UDP && each->cmsg_type == UDP_GRO_)
				arrival.each = (u32)value;
			else if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_RECVFRAGSIZE_)
				arrival.fragment = (u32)value;
		}
		if (!arrival.each)
			arrival.each = (u32)size;
		arrival.node = address.sin_addr.s_addr;
		end += (u32)size;
		arrival.end = end;
		arrive(pump, arrival);
	}
	return deliver(pump);
}

static int changed(const struct pump *pump, u64 time)
{
	return time >= pump->until || *pump->changes[0] != pump->seen[0] || *pump->changes[1] != pump->seen[1];
}

/* Have the pump's timer come when the next train is due. What it has said before is forgotten with that. */
static int arm(struct pump *pump)
{
	enum { SECOND = 1000000000 };
	struct itimerspec spec = {0};
	if (pump->armed == pump->next)
		return 0;
	if (pump->next != NEVER) {
		spec.it_value.tv_sec = (time_t)(pump->next / SECOND);
		spec.it_value.tv_nsec = (long)(pump->next % SECOND);
		if (pump->next == 0)  /* which would disarm it */
			spec.it_value.tv_nsec = 1;
	}
	pump->armed = pump->next;
	return timerfd_settime(pump->pace, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* Take note of what may be read; answers why the pump has to stop, 0 if it does not. */
static int look(struct pump *pump)
{
	enum { COUNT = 5 };
	struct pollfd sides[COUNT] = {
		{pump->tun, POLLIN, 0}, {pump->socket, POLLIN, 0}, {pump->timer, POLLIN, 0}, {pump->pace, POLLIN, 0},
		{pump->wake, POLLIN, 0},
	};
	int found = arm(pump);
	if (found == 0)
		do
			found = poll(sides, COUNT, pump->dirty ? COLLECT : -1);
		while (found < 0 && errno == EINTR);
	if (found < 0) {
		pump->error = (u32)errno;
		return UNPOLLED;
	}
	if (!found) {
		pump->collected = now();
		return COUNTED;
	}
	if (sides[COUNT - 1].revents)
		return WOKEN;
	for (u32 side = 0; side < COUNT - 1; side++)
		pump->pending |= (u32)(sides[side].revents != 0) << side;
	return 0;
}

/* Whether it is the turn of this side, which then has had it. */
static int turn(struct pump *pump, u32 side)
{
	u32 found = pump->pending & side;
	pump->pending &= ~side;
	return found != 0;
}

/* Carry packets until Python is needed; answers what for. Polls by itself, in a thread that holds no lock of Python's.
 *
 * What was found to be readable is read before it is looked at again, though the pump may stop in between: otherwise
 * one side whose every batch needs Python would keep the others from having their turn.
 */
int core_pump(struct pump *pump)
{
	int reason;
	for (;;) {
		u64 time;
		u32 made = 0;
		if ((reason = flush(pump, 0)) || (pump->again && (reason = take(pump, pump->again, &made))) ||
		    (reason = flush(pump, 0)) || (reason = deliver(pump)))
			return reason;
		if (!pump->pending && (reason = look(pump)))
			return reason;
		time = now();
		if (changed(pump, time)) {
			pump->ready = pump->pending;
			pump->pending = 0;
			return CHANGED;
		}
		turn(pump, PACE);
		if ((reason = core_send_due(pump, time)))
			return reason;
		if (turn(pump, TIMER))
			return DUE;
		if (turn(pump, TUN) && (reason = from_kernel(pump)))
			return reason;
		if (turn(pump, SOCKET) && (reason = from_network(pump)))
			return reason;
		if (pump->dirty && time - pump->collected >= COLLECT_BUSY * (u64)1000000) {
			pump->collected = time;
			return COUNTED;
		}
	}
}

/* What `segment` and `coalesce` do, compiled: the same results to the bit, or none at all.
 *
 * Pure functions over memory that the caller owns. They check every length themselves, because packets come from
 * anybody. Where a packet is not of the common kind they answer LEFT, and the caller asks Python, whose words for
 * errors and rare cases are the only ones. Nothing of the C library is needed but memcpy, which the process has
 * loaded, so that one file serves every library and every Python of its architecture.
 *
 * Fields of packets are in network byte order; sums are those of `sums`, modulo 65535.
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t size);

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

enum {
	LEFT = -1,
	MODULUS = 65535,
	LONGEST = 65535,
	MOST = 64,  /* UDP_MAX_SEGMENTS of linux/udp.h, before it became 128 */
	FEWEST = 3,
	IP = 20,    /* sizeof(struct iphdr) */
	TCP = 20,   /* sizeof(struct tcphdr) */
	UDP = 8,    /* sizeof(struct udphdr) */
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
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

/* Of the functions and structures here, as the package takes them: its ABI. */
int core_abi(void)
{
	return 1;
}

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

/* `segment._single`: finish a packet that is not a super-packet. */
static s64 single(const struct vnet *vnet, const u8 *packet, size_t size, u8 *out)
{
	memcpy(out, packet, size);
	decrement_ttl(out);
	if (vnet->flags & NEEDS_CSUM) {
		size_t start = vnet->csum_start, place = start + vnet->csum_offset;
		u32 value;
		if (place + 2 > size || start < IP)
			return LEFT;
		value = checksum(sum(out + start, size - start));
		put16(out + place, value == 0 && out[9] == IPPROTO_UDP ? 0xffff : value);
	}
	return (s64)size;
}

/* `segment.segments`: write all segments to `out`, and the length of each but the last to `each`.
 *
 * Answers their total length, or LEFT.
 */
s64 core_segments(const struct vnet *vnet, const u8 *packet, size_t size, u8 *out, size_t room, u32 *each)
{
	u32 kind = vnet->gso_type & ~GSO_ECN, step = vnet->gso_size, ip, protocol, headers, count;
	u32 ip_sum, rest_sum, ident, seq = 0, word = 0;
	u8 head[15 * 4 + 15 * 4], *at = out;
	int tcp;

	if (size < IP || size > LONGEST || packet[8] == 0)
		return LEFT;
	if (kind == GSO_NONE) {
		*each = (u32)size;
		return size > room ? LEFT : single(vnet, packet, size, out);
	}
	ip = (packet[0] & 15) * 4;
	protocol = packet[9];
	if (ip < IP || ip > size)
		return LEFT;
	tcp = kind == GSO_TCPV4 && protocol == IPPROTO_TCP;
	if (tcp && ip + TCP <= size) {
		headers = ip + (packet[ip + 12] >> 4) * 4;
		if (headers < ip + TCP)
			return LEFT;
	} else if (kind == GSO_UDP_L4 && protocol == IPPROTO_UDP) {
		headers = ip + UDP;
	} else {
		return LEFT;
	}
	if (step == 0 || headers >= size)
		return LEFT;
	count = (u32)((size - headers + step - 1) / step);
	if (size + (size_t)(count - 1) * headers > room)
		return LEFT;

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
	rest_sum = sum(head + ip, headers - ip) + sum(head + 12, 8) + protocol;
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
	*each = headers + step;
	return at - out;
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

// A gateway in Go with its driver for `linkcast conformance`, from the contract alone: docs/contract, docs/conformance.md.
// Its clients live in the same process; where they call `say`, yours write to a socket.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	version  = 1 // the latest schema version known here
	beat     = time.Second
	register = 5 * time.Second // half of LINK_TIMEOUT_MS
	again    = 5 * time.Second // a source that does not begin anew is asked again
	pause    = time.Second     // and after a reset not before this
	resend   = 3 * time.Second
	repull   = 200 * time.Millisecond
	hold     = time.Minute // how long a session that was lost may be resumed
)

var errVersion = errors.New("unknown_version")

type object = map[string]any

// Command is what the kit tells.
type Command struct {
	Do, Kafka, Link, App, Views, Token string
	As, Resumes                        int
	User, Device, Group                string
	ClientID                           string `json:"client_id"`
	Body                               json.RawMessage
	Background                         bool
	Subscriptions                      json.RawMessage
	Users, Mentions                    []string
}

// Entry is any entry of a lot, and any answer: the fields of all kinds together.
type Entry struct {
	T, App, Group, Code          string
	Slot                         int64
	Ordinals                     []uint32
	Slots                        []int64
	Audiences                    [][]uint32 // of a bound: per ordinal
	Heads                        [][2]json.RawMessage
	Seq                          int64
	ClientID                     string `json:"client_id"`
	Link                         string
	Epoch, Partition, Partitions int64
	Body                         json.RawMessage
	Audience                     uint32 // of all but messages
	Members, Entered, Left       string // bitmaps
	Ended                        bool
	Version                      int64
	What                         []string // of a changed
	Notice                       struct {
		Number      int64
		Group, Kind string
	}
	By, Joined, Level, Why string
	Beside, Among          uint32
	Count                  int64
	Background             bool            // of an unread: only for those
	On                     *bool           // of a background; absent: they are
	M                      json.RawMessage // of a mention: the message
	Known                  bool
	Wanted                 json.RawMessage
	Refused                []struct{ Code string }
	Users                  []struct{ User, State, Status string }
	A, G                   string          // of a message: app, group
	S, P                   int64           // seq, prev
	Au                     uint32          // audience
	B                      json.RawMessage // body
}

// Record is a record of `deliveries` or `answers`.
type Record struct {
	T, Link                string
	V                      int
	Epoch, Source, Number  int64
	Reset, Urgent, Overrun bool
	Entries                []json.RawMessage
}

type source struct {
	have    int64
	trusted bool
	askAt   time.Time
	groups  map[string]*listeners
	urgent  int64          // the last lot of answers and mentions that was handed on
	acked   int64          // the last lot acknowledged
	away    map[int64]bool // the sessions in the background
}

// listeners of one group: forgotten with the last of them.
type listeners struct {
	slots     map[int64]uint32           // slot -> ordinal
	ordinals  map[uint32]map[int64]bool  // ordinal -> its slots
	audiences map[uint32]*roaring.Bitmap // of ordinals; only of those that listen here
	sessions  map[uint32]*roaring.Bitmap // audiences of slots; of visitors too, who are bound to nothing
}

func newListeners() *listeners {
	return &listeners{map[int64]uint32{}, map[uint32]map[int64]bool{}, map[uint32]*roaring.Bitmap{}, map[uint32]*roaring.Bitmap{}}
}

type registration struct{ epoch, partition int64 }

// Gateway is one link. Everything below mu is guarded by it.
type Gateway struct {
	Command
	producer   *kgo.Client
	partitions map[string]int

	mu      sync.Mutex
	living  *registration
	sources map[int64]*source
	next    int64 // the next slot
	clients map[int64]*Client
	held    map[int64]*Client // those whose line broke a moment ago: their slots are kept for them
	waiting []*Client
	stopped bool
}

func main() {
	log.SetOutput(os.Stderr)
	var gateway *Gateway
	clients := map[int]*Client{}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
loop:
	for lines.Scan() {
		var told Command
		if err := json.Unmarshal(lines.Bytes(), &told); err != nil {
			log.Fatal(err)
		}
		switch told.Do {
		case "start":
			gateway = &Gateway{Command: told}
			go func() { defer close(over); gateway.live(ctx) }()
		case "connect":
			clients[told.As] = gateway.connect(told, clients[told.Resumes])
		case "send":
			clients[told.As].send(told)
		case "subscribe", "unsubscribe", "ground", "watch":
			gateway.tell(clients[told.As], told)
		case "lose":
			gateway.lose(clients[told.As])
		case "disconnect":
			gateway.disconnect(clients[told.As])
		case "stop":
			break loop
		}
	}
	if gateway != nil {
		gateway.stop()
		cancel()
		<-over
	}
}

var output sync.Mutex

func say(event object) {
	line, _ := json.Marshal(event)
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(line))
}

// --- the link's life

func (g *Gateway) live(ctx context.Context) {
	var err error
	if g.producer, err = kgo.NewClient(kgo.SeedBrokers(g.Kafka), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		log.Fatal(err)
	}
	defer g.producer.Close()
	for ctx.Err() == nil {
		reg, reader, err := g.register(ctx)
		if err == nil {
			err = g.serve(ctx, reg, reader)
		}
		if errors.Is(err, errVersion) {
			say(object{"event": "failed", "code": "unknown_version"})
			return
		}
		if err != nil && ctx.Err() == nil {
			log.Println("registers anew:", err)
			time.Sleep(time.Second)
		}
	}
}

// register asks, waits for the answer, and fixes the position in the partition given.
func (g *Gateway) register(ctx context.Context) (*registration, *kgo.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, register)
	defer cancel()
	admin := kadm.NewClient(g.producer)
	topics, err := admin.ListTopics(ctx, "answers", "messages", "deliveries")
	if err != nil {
		return nil, nil, err
	}
	g.mu.Lock()
	g.partitions = map[string]int{}
	for name, topic := range topics {
		g.partitions[name] = len(topic.Partitions)
	}
	g.mu.Unlock()
	random := make([]byte, 16)
	rand.Read(random)
	requester := hex.EncodeToString(random) // fresh, so that no old answer is taken for this one's
	answers, err := g.reader(ctx, "answers", int32(partitionOf(requester, len(topics["answers"].Partitions))))
	if err != nil {
		return nil, nil, err
	}
	defer answers.Close()
	if err := g.writeNow(ctx, "links", 0, g.Link, object{"t": "register", "link": g.Link, "requester": requester}); err != nil {
		return nil, nil, err
	}
	for ctx.Err() == nil {
		for _, got := range answers.PollFetches(ctx).Records() {
			var record Record
			if err := decode(got.Value, &record); err != nil {
				return nil, nil, err
			}
			for _, raw := range record.Entries {
				var entry struct {
					Requester string
					Answer    Entry
				}
				if json.Unmarshal(raw, &entry) != nil || entry.Requester != requester {
					continue
				}
				if entry.Answer.T != "registered" {
					return nil, nil, errors.New("refused: " + entry.Answer.Code)
				}
				reader, err := g.reader(ctx, "deliveries", int32(entry.Answer.Partition))
				return &registration{entry.Answer.Epoch, entry.Answer.Partition}, reader, err
			}
		}
	}
	return nil, nil, errors.New("no answer yet")
}

// reader reads a partition from where its end is now: asked for before anything else goes on.
func (g *Gateway) reader(ctx context.Context, topic string, partition int32) (*kgo.Client, error) {
	ends, err := kadm.NewClient(g.producer).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	end, ok := ends.Lookup(topic, partition)
	if !ok || end.Err != nil {
		return nil, fmt.Errorf("no end of %s %d", topic, partition)
	}
	from := map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(end.Offset)}}
	return kgo.NewClient(kgo.SeedBrokers(g.Kafka), kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond))
}

func (g *Gateway) serve(ctx context.Context, reg *registration, reader *kgo.Client) error {
	defer reader.Close()
	g.begin(reg)
	defer g.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go g.beats(ctx, reg)
	for ctx.Err() == nil {
		for _, got := range reader.PollFetches(ctx).Records() {
			var record Record
			if err := decode(got.Value, &record); err != nil {
				g.writeNow(ctx, "links", 0, g.Link, object{"t": "leave", "link": g.Link, "epoch": reg.epoch})
				return err
			}
			if g.feed(reg, &record) {
				return errors.New("void")
			}
		}
	}
	return nil
}

func (g *Gateway) beats(ctx context.Context, reg *registration) {
	for ; ctx.Err() == nil; time.Sleep(beat) {
		g.mu.Lock()
		if g.living == reg && !g.stopped {
			g.write("links", 0, g.Link, object{"t": "beat", "link": g.Link, "epoch": reg.epoch, "sessions": len(g.clients)})
			for number, from := range g.sources {
				if !from.trusted && time.Now().After(from.askAt) {
					g.ask(number, from)
				}
			}
			g.acknowledge()
		}
		g.mu.Unlock()
	}
}

func (g *Gateway) begin(reg *registration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.living, g.next, g.sources, g.clients, g.held = reg, 0, map[int64]*source{}, map[int64]*Client{}, map[int64]*Client{}
	waiting := g.waiting
	g.waiting = nil
	for _, client := range waiting {
		g.open(client)
	}
}

func (g *Gateway) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, client := range g.clients {
		client.closed = true
		say(object{"event": "closed", "as": client.As})
	}
	g.living, g.clients = nil, nil
}

func (g *Gateway) stop() {
	g.mu.Lock()
	g.stopped = true
	reg := g.living
	g.mu.Unlock()
	if reg != nil {
		g.writeNow(context.Background(), "links", 0, g.Link, object{"t": "leave", "link": g.Link, "epoch": reg.epoch})
	}
}

// --- deliveries

// feed applies a record; true if the registration is void.
func (g *Gateway) feed(reg *registration, record *Record) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if record.Link != g.Link {
		return false
	}
	if record.T == "void" {
		return record.Epoch >= reg.epoch
	}
	if record.T == "notices" && record.Epoch == reg.epoch {
		g.notices(record)
	}
	if record.T == "sessions" && record.Epoch == reg.epoch {
		g.news(record)
	}
	if record.T != "lot" || record.Epoch != reg.epoch {
		return false
	}
	from := g.sources[record.Source]
	if from == nil {
		from = &source{trusted: true, groups: map[string]*listeners{}, away: map[int64]bool{}}
		g.sources[record.Source] = from
	}
	var entries []*Entry
	for _, raw := range record.Entries {
		var entry Entry
		if json.Unmarshal(raw, &entry) == nil {
			entries = append(entries, &entry)
		}
	}
	if record.Urgent && record.Number > max(from.have, from.urgent) { // also while a reset is waited for
		from.urgent = record.Number
		for _, entry := range entries {
			g.named(entry)
		}
	}
	switch {
	case record.Number <= from.have:
		return false
	case record.Reset:
		from.groups, from.away, from.trusted, from.askAt = map[string]*listeners{}, map[int64]bool{}, true, time.Now().Add(pause)
	case !from.trusted:
		return false
	case record.Number != from.have+1:
		g.distrust(record.Source, from)
		return false
	}
	from.have = record.Number
	for _, entry := range entries {
		if !record.Urgent && g.named(entry) {
			continue
		}
		if !g.apply(from, entry) {
			g.distrust(record.Source, from)
			return false
		}
	}
	if record.Overrun {
		g.distrust(record.Source, from)
	}
	return false
}

// named hands on an entry that names its sessions itself; false if it is none.
func (g *Gateway) named(entry *Entry) bool {
	client := g.clients[entry.Slot]
	switch entry.T {
	case "accepted", "refused", "applied":
		if client != nil {
			client.answered(entry)
		}
	case "subscribed":
		if client != nil {
			client.subscribed(entry)
		}
	case "mention":
		var mentioned Entry
		json.Unmarshal(entry.M, &mentioned)
		for _, slot := range entry.Slots {
			if client := g.clients[slot]; client != nil {
				say(object{"event": "mentioned", "as": client.As, "group": mentioned.G, "seq": mentioned.S})
			}
		}
	default:
		return false
	}
	return true
}

// news hands on what is for single sessions.
func (g *Gateway) news(record *Record) {
	for _, raw := range record.Entries {
		var entry Entry
		if json.Unmarshal(raw, &entry) != nil {
			continue
		}
		client := g.clients[entry.Slot]
		switch {
		case entry.T == "presence":
			for _, slot := range entry.Slots {
				if watcher := g.clients[slot]; watcher != nil {
					for _, one := range entry.Users {
						say(object{"event": "presence", "as": watcher.As, "user": one.User, "state": one.State, "status": one.Status})
					}
				}
			}
		case client == nil:
		case entry.T == "resumed":
			say(object{"event": "resumed", "as": client.As, "known": entry.Known})
			if entry.Known {
				client.pullAll()
			}
		case entry.T == "ended":
			client.closed = true
			delete(g.clients, entry.Slot)
			say(object{"event": "closed", "as": client.As, "why": entry.Why})
		case entry.T == "refused":
			client.answered(&entry)
		}
	}
}

// apply applies an entry; false if it shows that something was missed.
func (g *Gateway) apply(from *source, entry *Entry) bool {
	switch entry.T {
	case "bound":
		if from.groups[entry.Group] == nil {
			from.groups[entry.Group] = newListeners()
		}
		known := from.groups[entry.Group].bind(entry)
		for _, slot := range entry.Slots {
			if client := g.clients[slot]; client != nil {
				client.live(entry)
			}
		}
		return known
	case "unbound":
		if group := from.groups[entry.Group]; group != nil && group.unbind(entry.Slots) {
			delete(from.groups, entry.Group)
		}
	case "drive":
		if group := from.groups[entry.Group]; group != nil {
			for slot := range group.slots {
				if client := g.clients[slot]; client != nil {
					say(object{"event": "drive", "as": client.As, "group": entry.Group, "joined": entry.Joined})
				}
			}
		}
	case "background":
		g.ground(from, entry.Slots, entry.On == nil || *entry.On)
	case "audience", "audience_delta":
		if entry.By == "session" && from.groups[entry.Group] == nil {
			from.groups[entry.Group] = newListeners()
		}
		group := from.groups[entry.Group]
		if group == nil {
			return entry.Ended
		}
		if entry.By == "session" || group.sessions[entry.Audience] != nil {
			known := group.subscribe(entry)
			if group.nobody() {
				delete(from.groups, entry.Group)
			}
			return known
		}
		flipped, known := group.change(entry)
		g.changed(group.slotsOf(flipped), entry, "visibility")
		return known || entry.Ended
	case "changed":
		group := from.groups[entry.Group]
		if group == nil {
			return true // a hint: it may come after the last session
		}
		slots, known := group.hear(entry.Audience)
		if members, err := bitmap(entry.Members); err == nil && entry.Members != "" {
			slots, known = group.slotsOf(members), true
		}
		if among, told := group.hear(entry.Among); entry.Among != 0 {
			slots = slices.DeleteFunc(slots, func(slot int64) bool { return !slices.Contains(among, slot) })
			known = known && told
		}
		g.changed(slots, entry, entry.What...)
		return known
	case "unread":
		group := from.groups[entry.Group]
		if group == nil {
			return false
		}
		slots, known := group.hear(entry.Audience)
		var beside []int64
		if entry.Beside != 0 {
			told := false
			beside, told = group.hear(entry.Beside)
			known = known && told
		}
		for _, slot := range slots {
			heard := slices.Contains(beside, slot) && !from.away[slot]
			if client := g.clients[slot]; client != nil && !heard && (from.away[slot] || !entry.Background) {
				say(object{"event": "unread", "as": client.As, "group": entry.Group, "seq": entry.Seq, "count": entry.Count,
					"level": cmp.Or(entry.Level, "unread_count")})
			}
		}
		return known
	case "m", "signal", "head":
		group := entry.Group + entry.G
		if from.groups[group] == nil {
			return false
		}
		slots, known := from.groups[group].hear(entry.Audience + entry.Au)
		for _, slot := range slots {
			if client := g.clients[slot]; client != nil && !from.away[slot] {
				client.deliver(group, entry)
			}
		}
		return known
	}
	return true
}

// ground keeps who is in the background; who comes back pulls.
func (g *Gateway) ground(from *source, slots []int64, away bool) {
	for _, slot := range slots {
		if away {
			from.away[slot] = true
			continue
		}
		delete(from.away, slot)
		if client := g.clients[slot]; client != nil {
			client.pullAll()
		}
	}
}

// subscribe tells an audience of sessions, changes one or ends it; false if its bitmaps are none.
func (l *listeners) subscribe(entry *Entry) bool {
	if entry.Ended {
		delete(l.sessions, entry.Audience)
		return true
	}
	if entry.T == "audience" {
		slots, err := bitmap(entry.Members)
		l.sessions[entry.Audience] = slots
		return err == nil
	}
	entered, errEntered := bitmap(entry.Entered)
	left, errLeft := bitmap(entry.Left)
	l.sessions[entry.Audience].AndNot(left)
	l.sessions[entry.Audience].Or(entered)
	return errEntered == nil && errLeft == nil
}

// nobody tells whether no session is left: none is bound, and none visits.
func (l *listeners) nobody() bool {
	for _, slots := range l.sessions {
		if !slots.IsEmpty() {
			return false
		}
	}
	return len(l.slots) == 0
}

// bind adds sessions, and puts them into the audiences named; false if one of these was never told.
func (l *listeners) bind(entry *Entry) bool {
	for i, slot := range entry.Slots {
		ordinal := entry.Ordinals[i]
		l.slots[slot] = ordinal
		if l.ordinals[ordinal] == nil {
			l.ordinals[ordinal] = map[int64]bool{}
		}
		l.ordinals[ordinal][slot] = true
	}
	for i, named := range entry.Audiences {
		for _, audience := range named {
			if l.audiences[audience] == nil {
				return false
			}
			l.audiences[audience].Add(entry.Ordinals[i])
		}
	}
	return true
}

// unbind takes sessions away; an ordinal without a session leaves all audiences. True if nobody listens any more.
func (l *listeners) unbind(slots []int64) bool {
	for _, slot := range slots {
		ordinal, known := l.slots[slot]
		if !known {
			continue
		}
		delete(l.slots, slot)
		delete(l.ordinals[ordinal], slot)
		if len(l.ordinals[ordinal]) > 0 {
			continue
		}
		delete(l.ordinals, ordinal)
		for _, audience := range l.audiences {
			audience.Remove(ordinal)
		}
	}
	for _, slot := range slots {
		for _, audience := range l.sessions {
			audience.Remove(uint32(slot))
		}
	}
	return l.nobody()
}

// change tells an audience, changes one or ends it. It gives who sees more or less than before; false if it is not known.
func (l *listeners) change(entry *Entry) (*roaring.Bitmap, bool) {
	if entry.T == "audience" {
		members, err := bitmap(entry.Members)
		l.audiences[entry.Audience] = members
		return roaring.New(), err == nil
	}
	audience := l.audiences[entry.Audience]
	if audience == nil {
		return roaring.New(), false
	}
	if entry.Ended {
		delete(l.audiences, entry.Audience)
		return audience, true
	}
	entered, errEntered := bitmap(entry.Entered)
	left, errLeft := bitmap(entry.Left)
	before := audience.Clone()
	audience.AndNot(left)
	audience.Or(entered)
	before.Xor(audience)
	return before, errEntered == nil && errLeft == nil
}

// hear gives the sessions of an audience; false if it is not known. A gateway of many sessions keeps what it gives.
func (l *listeners) hear(audience uint32) ([]int64, bool) {
	if audience == 0 {
		return slices.Collect(maps.Keys(l.slots)), true
	}
	if sessions := l.sessions[audience]; sessions != nil {
		var slots []int64
		for _, slot := range sessions.ToArray() {
			slots = append(slots, int64(slot))
		}
		return slots, true
	}
	if l.audiences[audience] == nil {
		return nil, false
	}
	return l.slotsOf(l.audiences[audience]), true
}

func (l *listeners) slotsOf(ordinals *roaring.Bitmap) []int64 {
	var slots []int64
	for _, ordinal := range ordinals.ToArray() {
		for slot := range l.ordinals[ordinal] {
			slots = append(slots, slot)
		}
	}
	return slots
}

// changed tells clients that the group changed: those that show it pull.
func (g *Gateway) changed(slots []int64, entry *Entry, what ...string) {
	for _, slot := range slots {
		if client := g.clients[slot]; client != nil {
			say(object{"event": "changed", "as": client.As, "group": entry.Group, "version": entry.Version, "what": what})
		}
	}
}

// notices hands notices to the sessions of their persons.
func (g *Gateway) notices(record *Record) {
	for _, raw := range record.Entries {
		var entry Entry
		if json.Unmarshal(raw, &entry) != nil {
			continue
		}
		for _, slot := range entry.Slots {
			if client := g.clients[slot]; client != nil {
				notice := entry.Notice
				say(object{"event": "noticed", "as": client.As, "group": notice.Group, "number": notice.Number, "kind": notice.Kind})
			}
		}
	}
}

// bitmap reads a roaring bitmap in the portable format, in base64.
func bitmap(text string) (*roaring.Bitmap, error) {
	found := roaring.New()
	if text == "" {
		return found, nil
	}
	_, err := found.FromBase64(text)
	return found, err
}

func (g *Gateway) distrust(number int64, from *source) {
	from.trusted = false
	if !time.Now().Before(from.askAt) {
		g.ask(number, from)
	}
}

func (g *Gateway) ask(number int64, from *source) {
	from.askAt = time.Now().Add(again)
	g.write("resync", int(number), "", object{"t": "resync", "link": g.Link, "epoch": g.living.epoch,
		"partition": g.living.partition, "source": number, "have": from.have})
}

// --- sessions

func (g *Gateway) connect(told Command, before *Client) *Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	client := &Client{Command: told, gateway: g, before: before, channels: map[string]*channel{}, unanswered: map[string]bool{}}
	if before != nil {
		for group, found := range before.channels {
			client.channels[group] = &channel{last: found.last, head: found.last, early: map[int64]message{}}
		}
	}
	if g.living == nil {
		g.waiting = append(g.waiting, client)
	} else {
		g.open(client)
	}
	return client
}

// open gives a client its slot: the one that it had, if it is held still.
func (g *Gateway) open(client *Client) {
	client.epoch = g.living.epoch
	record := object{"t": "up", "device": client.Device, "partition": g.living.partition}
	if client.Background {
		record["background"] = true
	}
	before := client.before
	if before != nil {
		record["t"], record["was"] = "resume", object{"link": g.Link, "epoch": before.epoch, "slot": before.slot}
	}
	if before != nil && g.held[before.slot] == before {
		delete(g.held, before.slot)
		client.slot = before.slot
	} else {
		client.slot = g.next
		g.next++
	}
	g.clients[client.slot] = client
	g.session(client, record)
}

func (g *Gateway) disconnect(client *Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !client.closed && g.living != nil {
		client.closed = true
		delete(g.clients, client.slot)
		g.session(client, object{"t": "down"})
	}
}

// lose is told of a line that broke: the slot is held, for who comes back in time.
func (g *Gateway) lose(client *Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if client.closed || g.living == nil {
		return
	}
	client.closed = true
	delete(g.clients, client.slot)
	g.held[client.slot] = client
	g.session(client, object{"t": "lost"})
	time.AfterFunc(hold, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.held[client.slot] == client {
			delete(g.held, client.slot)
		}
	})
}

// tell passes on what a client wants to hear, or where it is.
func (g *Gateway) tell(client *Client, told Command) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if client.closed || g.living == nil {
		return
	}
	record := object{"t": told.Do}
	switch told.Do {
	case "ground":
		record["background"] = told.Background
	case "watch":
		record["users"] = told.Users
	default:
		record["subscriptions"] = told.Subscriptions
	}
	g.session(client, record)
}

// acknowledge says how far each source got, where that is further than before. Guarded by its caller.
func (g *Gateway) acknowledge() {
	for number, from := range g.sources {
		if from.have > from.acked {
			from.acked = from.have
			g.write("link-acks", int(number), "", object{"t": "ack", "link": g.Link, "epoch": g.living.epoch,
				"source": number, "number": from.have})
		}
	}
}

func (g *Gateway) session(client *Client, record object) {
	record["app"], record["user"], record["slot"] = g.App, client.User, client.slot
	record["link"], record["epoch"] = g.Link, g.living.epoch
	g.keyed("sessions", client.User, record)
}

// --- writing

func (g *Gateway) keyed(topic, thing string, record object) {
	key := g.App + ":" + thing
	g.write(topic, partitionOf(key, g.partitions["messages"]), key, record)
}

func (g *Gateway) write(topic string, partition int, key string, record object) {
	g.producer.Produce(context.Background(), made(topic, partition, key, record), func(_ *kgo.Record, err error) {
		if err != nil {
			log.Println("not sent:", err)
		}
	})
}

func (g *Gateway) writeNow(ctx context.Context, topic string, partition int, key string, record object) error {
	return g.producer.ProduceSync(ctx, made(topic, partition, key, record)).FirstErr()
}

func made(topic string, partition int, key string, record object) *kgo.Record {
	value, _ := json.Marshal(record)
	made := &kgo.Record{Topic: topic, Partition: int32(partition), Value: value}
	if key != "" {
		made.Key = []byte(key)
	}
	return made
}

func decode(value []byte, record *Record) error {
	var first struct{ V int }
	if json.Unmarshal(value, &first) == nil && first.V > version {
		return errVersion
	}
	json.Unmarshal(value, record) // what is no record is none: its link is empty
	return nil
}

// partitionOf hashes as Kafka's Java client does: murmur2.
func partitionOf(key string, count int) int {
	const m = 0x5bd1e995
	data := []byte(key)
	h := 0x9747b28c ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(data[0])) * m
	}
	h = (h ^ h>>13) * m
	return int((h^h>>15)&0x7fffffff) % count
}

// --- clients; the gateway's mu guards them

// Client is one connection, and what a person there sees.
type Client struct {
	Command
	gateway    *Gateway
	before     *Client // whom it goes on as
	slot       int64
	epoch      int64
	closed     bool
	channels   map[string]*channel
	unanswered map[string]bool
}

type message struct {
	S, P int64
	B    json.RawMessage
}

type channel struct {
	last, head int64
	early      map[int64]message // by the seq before them: they wait for a pull
	pulling    bool
	probe      bool // how far it is by now is to be asked
}

// channel gives what the client knows of a group's channel.
func (c *Client) channel(group string) *channel {
	if c.channels[group] == nil {
		c.channels[group] = &channel{early: map[int64]message{}}
	}
	return c.channels[group]
}

// heard takes the heads of a group: what is missing up to there is pulled.
func (c *Client) heard(entry *Entry) {
	found := c.channel(entry.Group)
	for _, head := range entry.Heads {
		var seq int64
		json.Unmarshal(head[1], &seq)
		found.head = max(found.head, seq)
	}
	c.pull(entry.Group)
}

func (c *Client) live(entry *Entry) {
	say(object{"event": "live", "as": c.As, "group": entry.Group, "joined": cmp.Or(entry.Joined, "messages")})
	c.heard(entry)
}

func (c *Client) subscribed(entry *Entry) {
	refused := []string{}
	for _, one := range entry.Refused {
		refused = append(refused, one.Code)
	}
	say(object{"event": "subscribed", "as": c.As, "group": entry.Group, "wanted": entry.Wanted, "refused": refused})
	c.heard(entry)
}

// pullAll asks whether anything came meanwhile.
func (c *Client) pullAll() {
	for group, found := range c.channels {
		found.probe = true
		c.pull(group)
	}
}

func (c *Client) deliver(group string, entry *Entry) {
	if entry.T == "signal" {
		say(object{"event": "signal", "as": c.As, "group": group, "body": entry.Body})
		return
	}
	found := c.channel(group)
	found.head = max(found.head, entry.Seq, entry.S)
	if entry.T == "m" && entry.S > found.last {
		found.early[entry.P] = message{entry.S, entry.P, entry.B}
		c.show(group)
	}
	c.pull(group)
}

// show shows what follows on what is known.
func (c *Client) show(group string) {
	found := c.channels[group]
	for next, ok := found.early[found.last]; ok; next, ok = found.early[found.last] {
		delete(found.early, found.last)
		found.last = next.S
		say(object{"event": "message", "as": c.As, "group": group, "seq": next.S, "body": next.B})
	}
}

// pull asks a view for what is missing, until nothing is.
func (c *Client) pull(group string) {
	found := c.channels[group]
	if found.pulling || (found.head <= found.last && !found.probe) {
		return
	}
	found.pulling, found.probe = true, false
	go func(after int64) {
		page := c.gateway.page(group, after)
		if page == nil || len(page.Messages) == 0 {
			time.Sleep(repull)
		}
		c.gateway.mu.Lock()
		defer c.gateway.mu.Unlock()
		if page == nil {
			page, found.probe = &Page{}, true
		}
		found.head = max(found.head, page.Head)
		for _, pulled := range page.Messages {
			if pulled.S > found.last {
				pulled.P = found.last
				found.early[found.last] = pulled
				c.show(group)
			}
		}
		found.pulling = false
		if !c.closed {
			c.pull(group)
		}
	}(found.last)
}

// Page is what a view answers of a channel.
type Page struct {
	Messages []message
	Head     int64
}

// page asks a view; nil if it does not answer.
func (g *Gateway) page(group string, after int64) *Page {
	url := fmt.Sprintf("%s/v1/apps/%s/groups/%s/channels/main/messages?after=%d&limit=200", g.Views, g.App, group, after)
	request, _ := http.NewRequest("GET", url, nil)
	request.Header.Set("Authorization", "Bearer "+g.Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	var page Page
	if answer.StatusCode == http.StatusNotFound {
		return &page
	}
	if answer.StatusCode != http.StatusOK || json.NewDecoder(answer.Body).Decode(&page) != nil {
		return nil
	}
	return &page
}

// send sends until it is answered: the same client_id, the same tried_at.
func (c *Client) send(told Command) {
	g := c.gateway
	triedAt := time.Now().UnixMilli()
	g.mu.Lock()
	c.unanswered[told.ClientID] = true
	g.mu.Unlock()
	go func() {
		for ; ; time.Sleep(resend) {
			g.mu.Lock()
			if c.closed || !c.unanswered[told.ClientID] {
				g.mu.Unlock()
				return
			}
			reply := object{"t": "session", "link": g.Link, "epoch": g.living.epoch, "partition": g.living.partition, "slot": c.slot}
			g.keyed("messages", told.Group, object{"t": "send", "app": g.App, "group": told.Group, "sender": c.User, "device": c.Device,
				"client_id": told.ClientID, "tried_at": triedAt, "body": told.Body, "reply": reply, "mentions": append([]string{}, told.Mentions...)})
			g.mu.Unlock()
		}
	}()
}

func (c *Client) answered(entry *Entry) {
	if !c.unanswered[entry.ClientID] {
		return
	}
	delete(c.unanswered, entry.ClientID)
	event := object{"event": entry.T, "as": c.As, "client_id": entry.ClientID}
	if entry.T == "accepted" {
		event["seq"] = entry.Seq
	} else {
		event["code"] = entry.Code
	}
	say(event)
}

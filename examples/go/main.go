// A gateway in Go with its driver for `linkcast conformance`, from the contract alone: docs/contract, docs/conformance.md.
// Its clients live in the same process; where they call `say`, yours write to a socket.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

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
)

var errVersion = errors.New("unknown_version")

type object = map[string]any

// Command is what the kit tells.
type Command struct {
	Do, Kafka, Link, App, Views, Token string
	As                                 int
	User, Device, Group                string
	ClientID                           string `json:"client_id"`
	Body                               json.RawMessage
}

// Entry is any entry of a lot, and any answer: the fields of all kinds together.
type Entry struct {
	T, App, Group, Code          string
	Slot                         int64
	Slots                        []int64
	Heads                        [][2]json.RawMessage
	Seq                          int64
	ClientID                     string `json:"client_id"`
	Link                         string
	Epoch, Partition, Partitions int64
	Body                         json.RawMessage
	A, G                         string          // of a message: app, group
	S, P                         int64           // seq, prev
	Au                           int64           // audience
	B                            json.RawMessage // body
}

// Record is a record of `deliveries` or `answers`.
type Record struct {
	T, Link               string
	V                     int
	Epoch, Source, Number int64
	Reset                 bool
	Entries               []json.RawMessage
}

type source struct {
	have    int64
	trusted bool
	askAt   time.Time
	groups  map[string]map[int64]bool // group -> slots that listen
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
			clients[told.As] = gateway.connect(told)
		case "send":
			clients[told.As].send(told)
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
		}
		g.mu.Unlock()
	}
}

func (g *Gateway) begin(reg *registration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.living, g.next, g.sources, g.clients = reg, 0, map[int64]*source{}, map[int64]*Client{}
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
	if record.T != "lot" || record.Epoch != reg.epoch {
		return false
	}
	from := g.sources[record.Source]
	if from == nil {
		from = &source{trusted: true, groups: map[string]map[int64]bool{}}
		g.sources[record.Source] = from
	}
	switch {
	case record.Number <= from.have:
		return false
	case record.Reset:
		from.groups, from.trusted, from.askAt = map[string]map[int64]bool{}, true, time.Now().Add(pause)
	case !from.trusted:
		return false
	case record.Number != from.have+1:
		g.distrust(record.Source, from)
		return false
	}
	from.have = record.Number
	for _, raw := range record.Entries {
		var entry Entry
		if json.Unmarshal(raw, &entry) != nil {
			continue
		}
		if !g.apply(from, &entry) {
			g.distrust(record.Source, from)
			return false
		}
	}
	return false
}

// apply applies an entry; false if it shows that something was missed.
func (g *Gateway) apply(from *source, entry *Entry) bool {
	switch entry.T {
	case "bound":
		if from.groups[entry.Group] == nil {
			from.groups[entry.Group] = map[int64]bool{}
		}
		for _, slot := range entry.Slots {
			from.groups[entry.Group][slot] = true
			if client := g.clients[slot]; client != nil {
				client.live(entry)
			}
		}
	case "unbound":
		for _, slot := range entry.Slots {
			delete(from.groups[entry.Group], slot)
		}
		if len(from.groups[entry.Group]) == 0 {
			delete(from.groups, entry.Group)
		}
	case "m", "signal", "head":
		group := entry.Group + entry.G
		slots, known := from.groups[group]
		if !known || entry.Au != 0 {
			return false
		}
		for slot := range slots {
			if client := g.clients[slot]; client != nil {
				client.deliver(group, entry)
			}
		}
	case "accepted", "refused":
		if client := g.clients[entry.Slot]; client != nil {
			client.answered(entry)
		}
	}
	return true
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

func (g *Gateway) connect(told Command) *Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	client := &Client{Command: told, gateway: g, channels: map[string]*channel{}, unanswered: map[string]bool{}}
	if g.living == nil {
		g.waiting = append(g.waiting, client)
	} else {
		g.open(client)
	}
	return client
}

func (g *Gateway) open(client *Client) {
	client.slot = g.next
	g.next++
	g.clients[client.slot] = client
	g.session(client, object{"t": "up", "device": client.Device, "partition": g.living.partition})
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
	slot       int64
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
}

func (c *Client) live(entry *Entry) {
	found := c.channels[entry.Group]
	if found == nil {
		found = &channel{early: map[int64]message{}}
		c.channels[entry.Group] = found
	}
	for _, head := range entry.Heads {
		var seq int64
		json.Unmarshal(head[1], &seq)
		found.head = max(found.head, seq)
	}
	say(object{"event": "live", "as": c.As, "group": entry.Group})
	c.pull(entry.Group)
}

func (c *Client) deliver(group string, entry *Entry) {
	if entry.T == "signal" {
		say(object{"event": "signal", "as": c.As, "group": group, "body": entry.Body})
		return
	}
	found := c.channels[group]
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
	if found.pulling || found.head <= found.last {
		return
	}
	found.pulling = true
	go func(after int64) {
		messages := c.gateway.page(group, after)
		if len(messages) == 0 {
			time.Sleep(repull)
		}
		c.gateway.mu.Lock()
		defer c.gateway.mu.Unlock()
		for _, pulled := range messages {
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

func (g *Gateway) page(group string, after int64) []message {
	url := fmt.Sprintf("%s/v1/apps/%s/groups/%s/channels/main/messages?after=%d&limit=200", g.Views, g.App, group, after)
	request, _ := http.NewRequest("GET", url, nil)
	request.Header.Set("Authorization", "Bearer "+g.Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	var page struct{ Messages []message }
	json.NewDecoder(answer.Body).Decode(&page)
	return page.Messages
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
				"client_id": told.ClientID, "tried_at": triedAt, "body": told.Body, "reply": reply})
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

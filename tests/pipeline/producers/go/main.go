// Posts one message with kafka-go and hamba/avro: go run . BROKER REGISTRY EVENT_ID SESSION_ID TEXT
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/segmentio/kafka-go"
)

const topic = "user.inputs"

type found struct {
	ID     uint32 `json:"id"`
	Schema string `json:"schema"`
}

func main() {
	if err := post(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		log.Fatal(err)
	}
}

func post(broker, registry, eventID, sessionID, text string) error {
	latest, err := schemaOf(registry)
	if err != nil {
		return err
	}
	schema, err := avro.Parse(latest.Schema)
	if err != nil {
		return err
	}
	value, err := avro.Marshal(schema, map[string]any{
		"event_id":   eventID,
		"session_id": sessionID,
		// hamba/avro cannot write the default of a record within a record: versions, which are no producer's.
		"versions": map[string]any{},
		// A union's branch is a map with one key: the full name of the record, or of the plain type.
		"body": map[string]any{
			"cartrita.events.MessageReceived": map[string]any{
				"text":          text,
				"budget_tokens": map[string]any{"long": 500000},
			},
		},
	})
	if err != nil {
		return err
	}
	// Confluent's wire format: a zero byte, the schema's id, the value.
	head := binary.BigEndian.AppendUint32([]byte{0}, latest.ID)
	writer := &kafka.Writer{Addr: kafka.TCP(broker), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: 10 * time.Millisecond}
	if err := writer.WriteMessages(context.Background(), kafka.Message{Value: append(head, value...)}); err != nil {
		return err
	}
	return writer.Close()
}

func schemaOf(registry string) (found, error) {
	var latest found
	answer, err := http.Get(fmt.Sprintf("%s/subjects/%s-value/versions/latest", registry, topic))
	if err != nil {
		return latest, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return latest, fmt.Errorf("the registry answered %s", answer.Status)
	}
	return latest, json.NewDecoder(answer.Body).Decode(&latest)
}

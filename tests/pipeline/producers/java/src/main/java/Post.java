import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Posts one message with Apicurio's serializer: BROKER REGISTRY EVENT_ID SESSION_ID TEXT. */
public final class Post {
    private static final String TOPIC = "user.inputs";

    public static void main(String[] given) throws Exception {
        String broker = given[0];
        // Apicurio's serializer speaks its own API, which is beside Confluent's.
        String registry = given[1].replace("/apis/ccompat/v7", "/apis/registry/v2");
        Schema schema = schemaOf(registry);
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", broker,
            "acks", "all",
            "apicurio.registry.url", registry,
            // The id stands in the value, in four bytes, and is the one that Confluent's API tells.
            "apicurio.registry.headers.enabled", false,
            "apicurio.registry.id-handler", "io.apicurio.registry.serde.Legacy4ByteIdHandler",
            "apicurio.registry.use-id", "contentId",
            "apicurio.registry.find-latest", true);
        var serializer = new AvroKafkaSerializer<GenericRecord>();
        serializer.configure(settings, false);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), serializer)) {
            var message = new GenericRecordBuilder(branch(schema, "MessageReceived"))
                .set("text", given[4])
                .set("budget_tokens", 500_000L)
                .build();
            var input = new GenericRecordBuilder(schema)
                .set("event_id", given[2])
                .set("session_id", given[3])
                // A union's branch is the record itself: its schema says which it is.
                .set("body", message)
                .build();
            producer.send(new ProducerRecord<>(TOPIC, input)).get();
        }
    }

    private static Schema branch(Schema schema, String name) {
        List<Schema> facts = schema.getField("body").schema().getTypes();
        return facts.stream().filter(one -> one.getName().equals(name)).findFirst().orElseThrow();
    }

    private static Schema schemaOf(String registry) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(registry + "/groups/default/artifacts/" + TOPIC + "-value"));
        var answer = HttpClient.newHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofString());
        return new Schema.Parser().parse(answer.body());
    }
}

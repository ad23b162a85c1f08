// Posts one message with kafkajs and avsc: node post.mjs BROKER REGISTRY EVENT_ID SESSION_ID TEXT
import avro from 'avsc'
import { Kafka, logLevel } from 'kafkajs'

const TOPIC = 'user.inputs'
const [broker, registry, eventId, sessionId, text] = process.argv.slice(2)

// The schema that the registry has; registering one of your own is not needed.
const found = await (await fetch(`${registry}/subjects/${TOPIC}-value/versions/latest`)).json()
// Without wrapUnions avsc guesses the branch by the value's shape, which is the same for several facts.
const type = avro.Type.forSchema(JSON.parse(found.schema), { wrapUnions: true })

const value = type.toBuffer({
  event_id: eventId,
  session_id: sessionId,
  // A union's branch is written as an object with one key: the full name of the record, or of the plain type.
  body: { 'cartrita.events.MessageReceived': { text, budget_tokens: { long: 500000 } } },
})
const head = Buffer.alloc(5)
head.writeInt32BE(found.id, 1)

const producer = new Kafka({ brokers: [broker], logLevel: logLevel.ERROR }).producer({ idempotent: true })
await producer.connect()
await producer.send({ topic: TOPIC, acks: -1, messages: [{ value: Buffer.concat([head, value]) }] })
await producer.disconnect()

// Calls the gateway with OpenAI's own client, as a program of its users would, and prints what came back as one JSON object.
// BASE_URL is the gateway's. With the argument "reset" it streams one reply that begins anew.
import OpenAI from 'openai'

const client = new OpenAI({ baseURL: `${process.env.BASE_URL}/v1`, apiKey: 'none', maxRetries: 0 })
const messages = [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'What is a bank?' }]

// failure makes a call that must fail, and says how.
async function failure(call) {
  try {
    await call()
    return 'no error'
  } catch (e) {
    return { class: e.constructor.name, status: e.status, code: e.code, param: e.param, type: e.type, message: e.message }
  }
}

// read joins the pieces of a stream and counts them.
async function read(stream) {
  const out = { text: '', pieces: 0 }
  for await (const chunk of stream) {
    const [choice] = chunk.choices
    if (choice?.delta.content) {
      out.text += choice.delta.content
      out.pieces++
    }
    if (choice?.finish_reason) out.finish = choice.finish_reason
    if (chunk.usage) out.usage = chunk.usage
  }
  return out
}

const ask = (more) => client.chat.completions.create({ model: 'auto', messages, ...more })

async function everything() {
  const models = []
  for await (const model of client.models.list()) models.push(model.id)
  const accumulated = client.chat.completions.stream({ model: 'qlora', messages })
  const parsed = await client.chat.completions.parse({
    model: 'qlora',
    messages: [{ role: 'user', content: 'JSON, please' }],
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'intent', strict: true, schema: { type: 'object', properties: { intent: { type: 'string' } }, required: ['intent'], additionalProperties: false } },
    },
  })
  return {
    models,
    model: await client.models.retrieve('qlora'),
    whole: await ask({ max_completion_tokens: 50, temperature: 0, logprobs: true }),
    streamed: await read(await ask({ stream: true, stream_options: { include_usage: true } })),
    accumulated: (await accumulated.finalChatCompletion()).choices[0].message.content,
    parsed: parsed.choices[0].message.parsed,
    unsupported: await failure(() => ask({ tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] })),
    unknown: await failure(() => ask({ model: 'gpt-5' })),
  }
}

const reset = async () => ({ failure: await failure(async () => read(await ask({ stream: true }))) })

console.log(JSON.stringify(await (process.argv[2] === 'reset' ? reset() : everything())))

// Calls the gateway with the Vercel AI SDK, as a program of its users would, and prints what came back as one JSON object.
// BASE_URL is the gateway's. With the argument "reset" it streams one reply that begins anew.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, Output, streamText } from 'ai'

globalThis.AI_SDK_LOG_WARNINGS = false
const provider = createOpenAICompatible({
  name: 'teller', baseURL: `${process.env.BASE_URL}/v1`, apiKey: 'none', includeUsage: true, supportsStructuredOutputs: true,
})
const call = { model: provider('auto'), system: 'Be brief.', prompt: 'What is a bank?', maxRetries: 0 }

async function read(more) {
  const out = { text: '', pieces: 0, errors: [] }
  const result = streamText({ ...call, ...more, onError: () => {} })
  for await (const part of result.fullStream) {
    if (part.type === 'text-delta') {
      out.text += part.text
      out.pieces++
    }
    if (part.type === 'error') out.errors.push(part.error.message ?? String(part.error))
    if (part.type === 'finish') {
      out.finish = part.finishReason
      out.usage = part.totalUsage
    }
  }
  return out
}

async function everything() {
  const whole = await generateText({ ...call, maxOutputTokens: 50, temperature: 0 })
  const parsed = await generateText({
    ...call,
    prompt: 'JSON, please',
    output: Output.object({ schema: jsonSchema({ type: 'object', properties: { intent: { type: 'string' } }, required: ['intent'], additionalProperties: false }) }),
  })
  let unknown = 'no error'
  try {
    await generateText({ ...call, model: provider('gpt-5') })
  } catch (e) {
    unknown = { name: e.name, status: e.statusCode, message: e.message }
  }
  return {
    whole: { text: whole.text, finish: whole.finishReason, usage: whole.usage, id: whole.response.id, model: whole.response.modelId },
    streamed: await read({}),
    parsed: parsed.output,
    unknown,
  }
}

console.log(JSON.stringify(await (process.argv[2] === 'reset' ? read({}) : everything())))

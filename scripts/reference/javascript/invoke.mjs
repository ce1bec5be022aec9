// Invokes an endpoint once with the AWS SDK for JavaScript.
//
//   node invoke.mjs FOLDER <request.json
//
// FOLDER has the SDK. The request names `address`, `attempts` (the SDK's own number unless given), the `input` of
// InvokeEndpointCommand without its body, and the files that `body` is read from and `answer` is written to. Prints a line
// of JSON for each response, {"status"}, and at last one for the command: {"response"} or {"error"}.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// Longest time that an invocation may take, all attempts together.
const PATIENCE_MS = 120_000;

const sdk = createRequire(join(process.argv[2], "package.json"))("@aws-sdk/client-sagemaker-runtime");
const request = JSON.parse(readFileSync(0, "utf8"));
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const client = new sdk.SageMakerRuntimeClient({
  endpoint: request.address,
  region: "eu-central-1",
  credentials: { accessKeyId: "any", secretAccessKey: "any" },
  ...(request.attempts && { maxAttempts: request.attempts }),
});

// The last step before the socket: it sees every attempt.
const report = (next) => async (attempt) => {
  const output = await next(attempt);
  print({ status: output.response.statusCode });
  return output;
};
client.middlewareStack.add(report, { step: "deserialize", priority: "low", name: "report" });

// The classes of the SDK that an error is an instance of.
const classesOf = (error) =>
  Object.keys(sdk).filter((name) => typeof sdk[name] === "function" && error instanceof sdk[name]);

try {
  const command = new sdk.InvokeEndpointCommand({ ...request.input, Body: readFileSync(request.body) });
  const { Body, $metadata, ...response } = await client.send(command, { abortSignal: AbortSignal.timeout(PATIENCE_MS) });
  writeFileSync(request.answer, Body);
  print({ response: { ...response, attempts: $metadata.attempts } });
} catch (error) {
  const { name, message, OriginalStatusCode, OriginalMessage, $metadata } = error;
  const classes = classesOf(error);
  const { httpStatusCode: status, attempts } = $metadata ?? {};
  print({ error: { name, message, OriginalStatusCode, OriginalMessage, classes, status, attempts } });
}
client.destroy();

// One request an iteration, bodies discarded, no pause: k6 run --env URL=... [--env BODY=file] [--env CHECKS=1]
import http from 'k6/http';
import { check } from 'k6';

export const options = { discardResponseBodies: !__ENV.CHECKS };
const body = __ENV.BODY ? open(__ENV.BODY) : null;
const headers = { headers: { 'Content-Type': 'application/json' } };

export default function () {
  if (body !== null) {
    http.post(__ENV.URL, body, headers);
    return;
  }
  const response = http.get(__ENV.URL);
  if (__ENV.CHECKS) {
    check(response, {
      header: (r) => (r.headers['Content-Type'] || '').includes('application/json'),
      body: (r) => r.body.includes('"ok": true'),
      json: (r) => r.json('user.id') === 7,
    });
  }
}

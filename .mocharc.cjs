// How tests run: TypeScript through tsx; in CI neither a skipped test nor a forgotten `.only` may pass.
const inCi = process.env.CI === 'true';

module.exports = {
  'node-option': ['import=tsx'],
  extension: ['ts'],
  reporter: 'dot',
  timeout: 10000,
  forbidOnly: inCi,
  forbidPending: inCi,
};

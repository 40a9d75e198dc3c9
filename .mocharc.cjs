// How tests run: TypeScript through tsx, our programs from a bundle; in CI neither a skipped test nor a forgotten `.only` may pass.
const inCi = process.env.CI === 'true';

module.exports = {
  'node-option': ['import=tsx'],
  extension: ['ts'],
  require: ['./test/support/programs.ts'],
  reporter: 'dot',
  timeout: 60000,
  forbidOnly: inCi,
  forbidPending: inCi,
};

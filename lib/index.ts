// The public surface: re-exports only. Nobody inside lib imports it.

export { KnockListener } from './listener/listener.ts';
export { type ListenerEvents } from './listener/events.ts';
export { type ListenerOptions, type ReloadOptions, type ServiceOptions } from './listener/options.ts';
export { explain, type ExplainOptions } from './listener/explain.ts';
export {
  type ExplainedPacket,
  type ExplainedSource,
  type Explanation,
  type Unfinished,
  type Verdict,
} from './listener/explanation.ts';
export { Knocker, type KnockOptions, type ReachOptions } from './knocker/knocker.ts';
export { type Knocked, type KnockerOptions } from './knocker/sender.ts';
export {
  agentSigner,
  keySigner,
  type AgentSignerOptions,
  type KeySignerOptions,
  type Signer,
} from './knocker/signer.ts';
export { openSealed, sealProfile } from './knocker/sealed.ts';
export {
  formatProfile,
  parseProfile,
  type FwknopProfile,
  type OneTimeProfile,
  type Profile,
  type SequenceProfile,
  type SpaProfile,
} from './knocker/profile.ts';
export { type KnockState } from './knocker/ledger.ts';

export { fwknop, type FwknopOptions } from './scheme/fwknop.ts';
export { type FwknopClient, type FwknopKeys, type FwknopService } from './scheme/fwknop-clients.ts';
export { type EncryptionMode } from './scheme/fwknop-cipher.ts';
export { type HashName } from './crypto/hashes.ts';
export { oneTime, type OneTimeClient } from './scheme/one-time.ts';
export { oneTimeKnocks, type OneTimeKey, type OneTimeKnock } from './scheme/one-time-key.ts';
export { type Digest } from './crypto/mac.ts';
export { sequence, type KnockPort, type SequenceClient } from './scheme/sequence.ts';
export { sequenceList, type SequenceListClient } from './scheme/sequence-list.ts';
export { spa, type SpaOptions } from './scheme/spa.ts';
export { type SpaClient } from './scheme/spa-clients.ts';
export {
  type CaptureNeed,
  type Duplicate,
  type KnockHistory,
  type KnockRequest,
  type Match,
  type Rejection,
  type RejectReason,
  type Scheme,
} from './scheme/scheme.ts';

export {
  type AttemptRemark,
  type MissReason,
  type MissRemark,
  type Observer,
  type Remark,
} from './scheme/remark.ts';

export { captureFile, type CaptureFileOptions } from './capture/file.ts';
export { liveCapture, type LiveOptions } from './capture/live.ts';
export { udpSocket, type UdpSocketOptions } from './capture/socket.ts';
export { type PacketSink, type PacketSource, type SourceContext } from './capture/source.ts';

export { command, type CommandOptions } from './firewall/command.ts';
export { gate, type GateOptions } from './firewall/gate.ts';
export { iptables, type IptablesOptions } from './firewall/iptables.ts';
export { type Protect } from './firewall/iptables-change.ts';
export { type Backend } from './firewall/iptables-host.ts';
export { mock, type MockDriver, type MockOptions } from './firewall/mock.ts';
export { nftables } from './firewall/nftables.ts';
export { type NftProtect } from './firewall/nftables-change.ts';
export { type NftablesOptions } from './firewall/nftables-options.ts';
export {
  type DriverContext,
  type FirewallDriver,
  type Grant,
  type Opening,
  type Service,
  type Target,
} from './firewall/driver.ts';

export { createReplayFile, fileReplay } from './replay/file.ts';
export { memoryReplay } from './replay/memory.ts';
export { type ClaimResult, type ReplayContext, type ReplayStore } from './replay/store.ts';

export { assemble, type AssembleOptions, type Assembly } from './config/assemble.ts';
export { addClient, type AddClientOptions } from './config/add-client.ts';
export { createConfig, createKeyPair, createSecret, type CreateConfigOptions } from './config/create.ts';
export { type NewClient } from './config/new-client.ts';
export { loadConfig } from './config/load.ts';
export { type Account } from './config/account.ts';
export { importFwknop, type FwknopImportOptions } from './config/fwknop-load.ts';
export { importKnockd, loadKnockd, type KnockdOptions } from './config/knockd-load.ts';
export { type Imported, type ImportNote } from './config/import-yaml.ts';
export { type CommandsConfig, type FirewallConfig } from './config/firewall.ts';
export { type MetricsConfig } from './config/metrics.ts';
export { ConfigError, formatProblem, type ConfigProblem } from './config/problems.ts';
export {
  type ClientConfig,
  type FwknopKey,
  type GatewayConfig,
  type SequenceSettings,
  type ServiceCommands,
  type ServiceConfig,
  type SocketAddress,
} from './config/schema.ts';

export { formatAddress, parseAddress, type Address, type Prefix } from './address.ts';
export { systemClock, type Clock } from './clock.ts';
export { type CloseReason } from './grant/events.ts';
export { isKnockError, KnockError, printable, type KnockErrorCode } from './errors.ts';
export { KnockCounts, type Count, type CountsReading } from './counts.ts';
export { type Metrics, type Watched } from './metrics.ts';
export { promMetrics, type PromMetrics, type PromOptions, type PromRegistry } from './prometheus.ts';
export { type Reject } from './policy/throttle.ts';
export { type ClientAccess } from './policy/access.ts';
export { type PacketView } from './packet/view.ts';

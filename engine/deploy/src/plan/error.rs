//! Why an object cannot be planned, and what to type next.

use crate::api::ApiError;
use crate::bundle::SecretKey;
use crate::object::ObjectKey;

/// Why an object cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Another field manager owns a field with another value.
    #[error("{object}: the field `{field}` belongs to `{manager}`")]
    Conflict {
        /// The object.
        object: ObjectKey,
        /// Who.
        manager: String,
        /// Which field.
        field: String,
        /// What would be set, and where it comes from.
        origin: String,
    },
    /// A field can never change.
    #[error("{object}: {message}")]
    Immutable {
        /// The object.
        object: ObjectKey,
        /// What the server says.
        message: String,
    },
    /// It is being deleted: what is written to it now goes with it.
    #[error("{what} is being deleted")]
    Going {
        /// What.
        what: String,
        /// Its kind, as kubectl takes it.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Where it is, if it is in a namespace.
        namespace: Option<String>,
    },
    /// An object of this name exists and was not made for this environment.
    #[error("{object} exists in the namespace `{namespace}` and belongs to {owner}")]
    Foreign {
        /// The object.
        object: ObjectKey,
        /// The namespace.
        namespace: String,
        /// To whom.
        owner: String,
    },
    /// A secret that a service needs is not there.
    #[error(
        "the secret `{}` that {service} (attribute `secrets`) needs is not in the namespace `{namespace}`",
        secret.name
    )]
    MissingSecret {
        /// The service target.
        service: String,
        /// The secret.
        secret: SecretKey,
        /// Where it was looked for.
        namespace: String,
    },
    /// State is to be kept, and the cluster has nothing to keep it on.
    #[error("{object} needs storage, and the cluster `{cluster}` has no default storage class")]
    NoStorage {
        /// The claim.
        object: ObjectKey,
        /// The context.
        cluster: String,
        /// The environment target.
        environment: String,
    },
    /// The namespace is missing and the environment does not make it.
    #[error("the namespace `{0}` does not exist, and the environment has `create_namespace = False`")]
    NoNamespace(String),
    /// The server refuses the object.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl PlanError {
    /// Whether the user may not do this.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_forbidden())
    }

    /// Whether the cluster does not answer, or denies a right.
    pub(crate) fn is_environment(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_forbidden() || error.status().is_none())
    }

    /// What to type next.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Conflict { object, field, origin, .. } => vec![
                format!("this rollout would set it from {origin}"),
                format!(
                    "see who set what: `kubectl get {} {} -n {} --show-managed-fields -o yaml`",
                    object.kind.to_lowercase(),
                    object.name,
                    object.namespace
                ),
                format!("to give `{field}` back to the rollout, undo that change, or run again with --take_over"),
            ],
            Self::Immutable { object, .. } => vec![format!(
                "it must be made anew: `kubectl delete {} {} -n {}`, then run again; what it holds is lost",
                object.kind.to_lowercase(),
                object.name,
                object.namespace
            )],
            Self::Going { kind, name, namespace, .. } => {
                let place = namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
                vec![
                    format!("wait until it is gone, then run again: `kubectl wait --for=delete {kind}/{name}{place}`"),
                    format!(
                        "if it stays, see what holds it: `kubectl get {kind} {name}{place} -o yaml`, at `finalizers`"
                    ),
                ]
            }
            Self::Foreign { .. } => {
                vec!["give the environment another `namespace`, or run again with --take_over".into()]
            }
            Self::MissingSecret { secret, namespace, .. } => vec![format!(
                "`kubectl create secret generic {} -n {namespace} --from-file={}=<file>`",
                secret.name, secret.key
            )],
            Self::NoStorage { environment, .. } => vec![
                format!("let state end with its pod: `persistent = False` in {environment}"),
                "or mark a class as the default: `kubectl patch storageclass <name> -p \
                 '{\"metadata\":{\"annotations\":{\"storageclass.kubernetes.io/is-default-class\":\"true\"}}}'`"
                    .into(),
            ],
            Self::NoNamespace(namespace) => vec![format!("`kubectl create namespace {namespace}`")],
            Self::Api(_) => Vec::new(),
        }
    }
}
